// What a document's metadata must look like before it is sent: field lengths of Decree 30/2020 (Annex VI part II),
// numbers and symbols of the state (Decree 30/2020 art. 15) and of the Party (HD 05-HD/VPTW), dates, file names, file
// types by extension and first bytes.
// Invariants: a refusal names its field first ("subject: ..."), never its content.
// Not here: Unicode normalisation (the user interface does it), numbering by us, addressees (the directory's).
// Thread: any; values only.
#pragma once
#include "proto/directory.h"
#include "proto/document.h"

namespace tram::node {

/// The whole of it but the files' content. Errors: bad_metadata, bad_number_format, forbidden (a classified document:
/// its layer is not built), too_large (number of files or their sum).
Result<void> check_metadata(const proto::Metadata&, proto::Branch sender, Time now);

/// Number and symbol in the form of the sender's branch. Error: bad_number_format.
Result<void> check_number(std::string_view number, std::string_view symbol, proto::Branch sender, bool official_letter);

/// As it is written on the document: "15/QĐ-BNV" of the state, "12-CV/ĐU" of the Party.
std::string number_and_symbol(const proto::Metadata&);

/// Nothing in it that could be read.
inline bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

/// A name without path, control characters or what file systems refuse. Error: bad_metadata.
Result<void> check_file_name(std::string_view name);

/// The media type that a name's extension stands for: asked before anything is uploaded. Error: unsupported_file.
Result<std::string_view> media_type_of(std::string_view name);
/// How many of a file's first bytes check_file wants to see (fewer when the file is shorter).
inline constexpr size_t file_head_bytes = 4096;
/// The media type of a file whose extension is allowed and whose first bytes agree with it. Error: unsupported_file.
Result<std::string_view> check_file(std::string_view name, BytesView head, uint64_t bytes);

/// The calendar day at UTC+7 (Decision 28/2018 art. 14(4)).
proto::Date local_date(Time);
/// "2026-08-25T09:30:00.000+07:00"; empty for no time.
std::string local_time_text(Time);
/// Monday to Friday; public holidays are not known.
bool is_working_day(const proto::Date&);
/// Until when an arrived document must be registered (Decree 30/2020 art. 4(2)(c)): the end of the next working day;
/// an urgent one at once, which is its arrival.
Time register_by(Time received, proto::Priority);

/// Code points of valid UTF-8; other bytes count one each.
size_t count_characters(std::string_view text);

}  // namespace tram::node
