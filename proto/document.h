// What a document says about itself: the metadata of edXML (QCVN 102:2016) and Decree 30/2020, the container header
// that precedes the files inside a body, and the texts inside receipts. Sealed: brokers never see any of it.
// Field lengths: Decree 30/2020 Annex VI part II (checked by node/metadata_rules). Thread: any; values only.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace tram::proto {

struct Date {
  uint16_t year = 0;
  uint8_t month = 0;
  uint8_t day = 0;
  auto operator<=>(const Date&) const = default;
  bool empty() const { return year == 0; }
};
std::string to_text(const Date&);                       // yyyy-MM-dd, "" when empty
std::optional<Date> parse_date(std::string_view text);  // yyyy-MM-dd or yyyy/MM/dd, a real date

enum class Priority : uint8_t { normal = 0, urgent = 1, very_urgent = 2, express = 3, express_timed = 4 };  // khan ...
enum class Classification : uint8_t { none = 0, confidential = 1, secret = 2, top_secret = 3 };  // Mat, Toi mat, Tuyet mat
enum class RelationKind : uint8_t { none = 0, recall = 1, update = 2, replace = 3, reply = 4 };

struct Relation {
  RelationKind kind = RelationKind::none;
  std::vector<DocId> targets;
  std::string reason;
};

/// ResponseFor of edXML: the document answered, when it came from elsewhere.
struct ReplyTo {
  std::string organ_code;
  std::string code;        // number/symbol
  Date date;
  std::string document_id;
};

enum class AddresseeKind : uint8_t { agency = 1, unit = 2, group = 3 };
/// What the clerk wrote: an agency, a unit or desk of an agency, or a group ("provinces", "communes:79", "branch:party").
struct Addressee {
  AddresseeKind kind = AddresseeKind::agency;
  PartyId id;         // agency or unit; zero for a group
  std::string group;
};

struct FileInfo {
  std::string name;        // no path, <= 255 bytes
  std::string media_type;
  uint64_t bytes = 0;
  Hash sha256;
};

struct Metadata {
  std::string number;            // so
  std::string symbol;            // ky hieu, "UBND-VX"
  std::string type_code;         // TT 05/2025, "22"; may be empty
  std::string type_name;         // ten loai, authoritative
  std::string subject;           // trich yeu, <= 500 characters
  std::string content;           // summary
  Date issued;
  std::string place;
  std::string organ_name;        // issuing body as printed
  std::string signer_competence; // TM., KT., TL., TUQ., Q.
  std::string signer_position;
  std::string signer_name;
  Priority priority = Priority::normal;
  std::string priority_deadline; // express by a stated hour: "yyyy-MM-dd HH:mm"
  Classification classification = Classification::none;
  Date due;
  uint32_t pages = 0;
  uint32_t copies = 0;
  std::string language;
  std::string sphere;
  std::string note;
  uint32_t steering = 1;         // 0..3, 1.1
  std::string circulation_mark;  // XEM XONG TRA LAI, LUU HANH NOI BO
  std::vector<std::string> to_places;
  std::vector<ReplyTo> reply_to;
  Relation relation;
  PartyId from_unit;             // desk inside the sender, zero for the agency itself
  std::vector<Addressee> addressees;
  uint32_t recipient_count = 0;
  std::vector<FileInfo> files;
  std::string sender_note_name;  // clerk who sent it
  bool partial = false;          // lists were left out to fit 4,096 bytes; the container has them all
};

Bytes encode_metadata(const Metadata&);
/// Errors: bad_format, too_large (counts, 256 KiB).
Result<Metadata> decode_metadata(BytesView);

/// The text inside a Receipt: number and date of the register, person, reason. Plain UTF-8 lines "name: value", so that
/// any verifier can show it (4.2): "number: 15\ndate: 2026-11-20\nperson: ...\nunit: ...\nreason: ...\n", empty ones left out.
struct ReceiptText {
  std::string register_number;  // so den
  Date register_date;           // ngay den
  std::string person;
  std::string unit;
  std::string reason;
};
/// Line ends inside a value become spaces. Errors: bad_format (not UTF-8), too_large (over 1,024 bytes).
Result<Bytes> encode_receipt_text(const ReceiptText&);
/// Unknown names are passed over. Errors: bad_format (UTF-8, a line without a name, a bad date), too_large.
Result<ReceiptText> decode_receipt_text(BytesView);

}  // namespace tram::proto
