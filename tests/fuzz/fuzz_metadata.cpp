// Metadata of documents, the container around it, and the rules for what a clerk may send.
#include <algorithm>

#include "base/limits.h"
#include "crypto/container.h"
#include "node/metadata_rules.h"
#include "tests/fuzz/fuzz.h"

namespace tram::fuzz {

namespace {

void check_rules(const proto::Metadata& metadata, Time now) {
  for (auto branch : {proto::Branch::party, proto::Branch::government}) {
    auto checked = node::check_metadata(metadata, branch, now);
    if (!checked) {
      // The detail names the field first, "subject: ...". It is our English, never what a clerk wrote.
      const std::string& detail = checked.error().detail;
      require(!detail.empty() && detail.size() < 200, "a refusal names its field");
      require(std::all_of(detail.begin(), detail.end(), [](char c) { return c >= ' ' && c <= '~'; }),
              "a refusal holds no content");
      continue;
    }
    require(!metadata.subject.empty(), "what may be sent has a subject");
    require(metadata.files.size() <= limits::files_per_document_max, "at most 64 files");
    require(metadata.classification == proto::Classification::none, "classified documents need their layer");
    uint64_t sum = 0;
    for (const auto& file : metadata.files) {
      require(node::check_file_name(file.name).has_value(), "what may be sent has good file names");
      require(file.bytes <= limits::document_bytes_max, "no file is over the limit");
      sum += file.bytes;
    }
    require(sum <= limits::document_bytes_max, "a document is within its limit");
  }
}

void check_container(BytesView in) {
  auto prefix = crypto::parse_container_prefix(in);
  if (!prefix) {
    require(prefix.error().code == ErrorCode::bad_format || prefix.error().code == ErrorCode::unsupported_version,
            "a refusal has its error");
    return;
  }
  require(prefix->content_offset == crypto::container_fixed_bytes + prefix->header.size(), "files follow the header");
  require(prefix->content_offset <= in.size(), "the header is inside");
  require(equal(crypto::container_prefix(prefix->header), in.first(prefix->content_offset)),
          "decoding and encoding give the same bytes");
}

void check_texts(BytesView in) {
  const std::string_view words = text(in);
  if (auto date = proto::parse_date(words)) {
    require(!date->empty() && proto::parse_date(proto::to_text(*date)) == date, "a date reads back");
    (void)node::is_working_day(*date);
  }
  if (node::check_file_name(words)) {
    require(words.size() <= limits::file_name_bytes_max && !words.empty(), "a file name has its length");
    require(words.find('/') == std::string_view::npos && words.find('\\') == std::string_view::npos &&
                words.find('\0') == std::string_view::npos && words != "." && words != "..",
            "a file name has no path");
  }
  if (auto type = node::media_type_of(words)) require(!type->empty(), "an allowed file has a type");
  require(node::count_characters(words) <= words.size(), "characters are at most bytes");
}

}  // namespace

void one_input(BytesView in) {
  check_container(in);
  check_texts(in);
  auto metadata = check_message<proto::Metadata>(in, proto::decode_metadata, proto::encode_metadata);
  if (!metadata) return;
  require(metadata->addressees.size() <= limits::recipients_per_document_max, "addressees are counted");
  check_rules(*metadata, Time{1772500000000});
}

}  // namespace tram::fuzz
