// Agencies from tables: CSV that people keep, and the national lists of provinces and communes of 1 July 2025.
// Pure: texts in, agencies out; ids come from the Random given. Thread: any.
#pragma once
#include <functional>

#include "directory/directory.h"

namespace tram::directory {

/// RFC 4180 with a header line; UTF-8, a byte order mark is skipped.
class CsvTable {
 public:
  /// Errors: bad_format (the detail names the line): quotes, a row with another number of fields than the header.
  static Result<CsvTable> parse(std::string_view text);
  bool has(std::string_view column) const;
  size_t rows() const { return rows_.size(); }
  /// The field, or "" when there is no such column.
  const std::string& at(size_t row, std::string_view column) const;
  const std::vector<std::string>& header() const { return header_; }

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

/// The agency that has this code already, if any.
using FindCode = std::function<std::optional<PartyId>(std::string_view code)>;

struct Imported {
  std::vector<proto::Agency> agencies;  // superiors before those below them
  size_t present = 0;                   // rows whose code the directory has already; left out
};

/// Columns code, name_vi, branch (party government front assembly court procuracy), level (central province commune
/// unit); optional name_en, parent_code (of this table or of the directory), province, address, telephone, email,
/// duty_person, aliases (codes separated by spaces). Codes are valid from `valid_from`. Errors: bad_format (a column is
/// missing, a value is unknown), bad_request (a superior is unknown, codes repeat).
Result<Imported> agencies_from_csv(const CsvTable&, Time valid_from, const FindCode& find, Random&);

/// 1 July 2025, 00:00 in Vietnam: the reform of provinces and communes.
inline constexpr Time reform_of_2025{1751302800000};

struct National : Imported {
  size_t provinces = 0, communes = 0, central = 0;  // bodies of one branch; provinces and communes stand for three each
};

/// The main bodies of Party, Government and Front of every new province and commune, and, with `level1`, the
/// ministries. Tables as published: provinces new_code, new_name; communes new_code, new_name, new_province_code;
/// level1 code, name, basis. Codes, all valid from reform_of_2025 (a unit's number was used before by another unit):
///   government of province 91         "P91"; its national code ("H01") is the first when level1 states it from a
///   source government of commune 30337 of it "91.30337" the Party's committee             the same with ".D" ("P91.D",
///   "91.30337.D") the Front's committee             the same with ".M" old 13-character form "000.00.00.H01", an alias
///   of bodies with a national code
/// Errors: bad_format (columns), bad_request (one number with two names, a commune without a province).
Result<National> national_agencies(const CsvTable& provinces, const CsvTable& communes, const CsvTable* level1,
                                   const FindCode& find, Random&);

}  // namespace tram::directory
