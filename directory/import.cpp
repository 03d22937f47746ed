#include "directory/import.h"

#include <algorithm>
#include <set>

namespace tram::directory {
namespace {

tl::unexpected<Error> malformed(size_t line, std::string what) {
  return fail(ErrorCode::bad_format, "line " + std::to_string(line) + ": " + std::move(what));
}

Result<void> need_columns(const CsvTable& table, std::initializer_list<std::string_view> columns) {
  for (std::string_view column : columns)
    if (!table.has(column)) return fail(ErrorCode::bad_format, "column " + std::string(column) + " is missing");
  return {};
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) out.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

/// Superiors before those below them; error when a circle leaves some out.
Result<void> order_by_superior(std::vector<proto::Agency>& agencies) {
  std::set<PartyId> all, done;
  for (const auto& agency : agencies) all.insert(agency.id);
  std::vector<proto::Agency> ordered;
  ordered.reserve(agencies.size());
  while (ordered.size() < agencies.size()) {
    const size_t before = ordered.size();
    for (auto& agency : agencies) {
      if (done.contains(agency.id) || (all.contains(agency.parent) && !done.contains(agency.parent))) continue;
      done.insert(agency.id);
      ordered.push_back(agency);
    }
    if (ordered.size() == before) return fail(ErrorCode::bad_request, "the superiors form a circle");
  }
  agencies = std::move(ordered);
  return {};
}

}  // namespace

Result<CsvTable> CsvTable::parse(std::string_view text) {
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
  CsvTable table;
  std::vector<std::string> fields;
  std::string field;
  size_t line = 1, row_line = 1;
  bool quoted = false, was_quoted = false;
  auto end_row = [&]() -> Result<void> {
    fields.push_back(std::move(field));
    field.clear();
    was_quoted = false;
    const bool blank = fields.size() == 1 && fields.front().empty();
    if (blank)
      fields.clear();
    else if (table.header_.empty())
      table.header_ = std::move(fields);
    else if (fields.size() != table.header_.size())
      return malformed(row_line, "wrong number of fields");
    else
      table.rows_.push_back(std::move(fields));
    fields.clear();
    return {};
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"')
        field += c;
      else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += '"';
        ++i;
      } else {
        quoted = false;
        was_quoted = true;
      }
    } else if (c == '"') {
      if (!field.empty() || was_quoted) return malformed(line, "a quote inside a field");
      quoted = true;
    } else if (c == ',') {
      fields.push_back(std::move(field));
      field.clear();
      was_quoted = false;
    } else if (c == '\n') {
      TRAM_OK(end_row());
      row_line = line;
    } else if (c != '\r') {
      if (was_quoted) return malformed(line, "text after a quoted field");
      field += c;
    }
  }
  if (quoted) return malformed(row_line, "a quote is not closed");
  if (!field.empty() || !fields.empty()) TRAM_OK(end_row());
  if (table.header_.empty()) return malformed(1, "the header is missing");
  return table;
}

bool CsvTable::has(std::string_view column) const {
  return std::find(header_.begin(), header_.end(), column) != header_.end();
}

const std::string& CsvTable::at(size_t row, std::string_view column) const {
  static const std::string none;
  const auto found = std::find(header_.begin(), header_.end(), column);
  return found == header_.end() ? none : rows_[row][static_cast<size_t>(found - header_.begin())];
}

Result<Imported> agencies_from_csv(const CsvTable& table, Time valid_from, const FindCode& find, Random& random) {
  TRAM_OK(need_columns(table, {"code", "name_vi", "branch", "level"}));
  Imported out;
  std::map<std::string, PartyId> ids;
  for (size_t row = 0; row < table.rows(); ++row) {
    const std::string& code = table.at(row, "code");
    if (ids.contains(code)) return fail(ErrorCode::bad_request, "code " + code + " stands twice");
    const auto known = find(code);
    ids[code] = known ? *known : random.id<PartyId>();
  }
  for (size_t row = 0; row < table.rows(); ++row) {
    proto::Agency agency;
    const std::string& code = table.at(row, "code");
    if (find(code)) {
      ++out.present;
      continue;
    }
    agency.id = ids[code];
    agency.name_vi = table.at(row, "name_vi");
    agency.name_en = table.at(row, "name_en");
    const auto branch = proto::parse_branch(table.at(row, "branch"));
    const auto level = proto::parse_level(table.at(row, "level"));
    if (!branch) return malformed(row + 2, "unknown branch \"" + table.at(row, "branch") + "\"");
    if (!level) return malformed(row + 2, "unknown level \"" + table.at(row, "level") + "\"");
    agency.branch = *branch;
    agency.level = *level;
    agency.province = table.at(row, "province");
    agency.contact = {table.at(row, "address"), table.at(row, "telephone"), table.at(row, "email"),
                      table.at(row, "duty_person")};
    agency.codes.push_back({code, valid_from, {}});
    for (const std::string& alias : split(table.at(row, "aliases"))) agency.codes.push_back({alias, valid_from, {}});
    if (const std::string& parent = table.at(row, "parent_code"); !parent.empty()) {
      const auto in_table = ids.find(parent);
      const auto found = in_table != ids.end() ? std::optional(in_table->second) : find(parent);
      if (!found) return fail(ErrorCode::bad_request, "the superior " + parent + " of " + code + " is unknown");
      agency.parent = *found;
    }
    out.agencies.push_back(std::move(agency));
  }
  TRAM_OK(order_by_superior(out.agencies));
  return out;
}

namespace {

/// "Tỉnh An Giang" -> "tỉnh An Giang", "Đặc khu Côn Đảo" -> "đặc khu Côn Đảo": the kind of unit inside a body's name.
std::string inside_name(const std::string& name) {
  static constexpr std::pair<std::string_view, std::string_view> kinds[] = {{"Tỉnh ", "tỉnh "},
                                                                            {"Thành phố ", "thành phố "},
                                                                            {"Xã ", "xã "},
                                                                            {"Phường ", "phường "},
                                                                            {"Đặc khu ", "đặc khu "}};
  for (const auto& [capital, small] : kinds)
    if (name.substr(0, capital.size()) == capital) return std::string(small) + name.substr(capital.size());
  return name;
}

std::string without_kind(const std::string& name) {
  for (std::string_view kind : {"Tỉnh ", "Thành phố "})
    if (name.substr(0, kind.size()) == kind) return name.substr(kind.size());
  return name;
}

struct Bodies {
  proto::Branch branch;
  std::string_view suffix;
};
constexpr Bodies bodies[] = {
    {proto::Branch::government, ""}, {proto::Branch::party, ".D"}, {proto::Branch::front, ".M"}};

std::string body_name(proto::Branch branch, proto::Level level, const std::string& unit) {
  if (branch == proto::Branch::government) return "Ủy ban nhân dân " + inside_name(unit);
  if (branch == proto::Branch::front) return "Ủy ban Mặt trận Tổ quốc Việt Nam " + inside_name(unit);
  if (level == proto::Level::commune) return "Đảng ủy " + inside_name(unit);
  const bool city = unit.substr(0, std::string_view("Thành phố ").size()) == "Thành phố ";
  return (city ? "Thành ủy " : "Tỉnh ủy ") + without_kind(unit);
}

struct Unit {
  std::string name, province;
};

/// One row a unit; the tables name a new unit once for every old one that went into it.
Result<std::map<std::string, Unit>> distinct_units(const CsvTable& table, std::string_view province_column) {
  std::map<std::string, Unit> units;
  for (size_t row = 0; row < table.rows(); ++row) {
    const Unit unit{table.at(row, "new_name"), table.at(row, province_column)};
    const auto [held, added] = units.emplace(table.at(row, "new_code"), unit);
    if (!added && (held->second.name != unit.name || held->second.province != unit.province))
      return fail(ErrorCode::bad_request, "number " + held->first + " names two units");
  }
  return units;
}

struct Maker {
  const FindCode& find;
  Random& random;
  National& out;

  PartyId add(proto::Agency agency, std::vector<std::string> codes) {
    for (const std::string& code : codes)
      if (auto known = find(code)) {
        ++out.present;
        return *known;
      }
    agency.id = random.id<PartyId>();
    for (std::string& code : codes) agency.codes.push_back({std::move(code), reform_of_2025, {}});
    out.agencies.push_back(std::move(agency));
    return out.agencies.back().id;
  }
};

}  // namespace

Result<National> national_agencies(const CsvTable& provinces, const CsvTable& communes, const CsvTable* level1,
                                   const FindCode& find, Random& random) {
  TRAM_OK(need_columns(provinces, {"new_code", "new_name"}));
  TRAM_OK(need_columns(communes, {"new_code", "new_name", "new_province_code"}));
  if (level1) TRAM_OK(need_columns(*level1, {"code", "name", "basis"}));
  TRAM_TRY(province_units, distinct_units(provinces, "new_code"));
  TRAM_TRY(commune_units, distinct_units(communes, "new_province_code"));
  National out;
  Maker maker{find, random, out};
  std::map<std::string, std::string> national_code;  // folded name of a province -> "H01"
  for (size_t row = 0; level1 && row < level1->rows(); ++row) {
    const std::string& code = level1->at(row, "code");
    const std::string& name = level1->at(row, "name");
    if (code.substr(0, 1) == "H") {
      if (name.substr(0, 5) == "UBND " && level1->at(row, "basis") == "source")
        national_code[fold(name.substr(5))] = code;
      continue;
    }
    proto::Agency agency;
    agency.name_vi = name;
    agency.branch = proto::Branch::government;
    agency.level = proto::Level::central;
    maker.add(std::move(agency), {code, "000.00.00." + code});
    ++out.central;
  }
  std::map<std::pair<std::string, proto::Branch>, PartyId> superiors;
  for (const auto& [number, unit] : province_units) {
    for (const Bodies& body : bodies) {
      proto::Agency agency;
      agency.name_vi = body_name(body.branch, proto::Level::province, unit.name);
      agency.branch = body.branch;
      agency.level = proto::Level::province;
      agency.province = number;
      agency.contact.address = unit.name;
      std::vector<std::string> codes{"P" + number + std::string(body.suffix)};
      const auto national = national_code.find(fold(without_kind(unit.name)));
      if (body.branch == proto::Branch::government && national != national_code.end()) {
        codes.insert(codes.begin(), national->second);
        codes.push_back("000.00.00." + national->second);
      }
      superiors[{number, body.branch}] = maker.add(std::move(agency), std::move(codes));
    }
    ++out.provinces;
  }
  for (const auto& [number, unit] : commune_units) {
    const auto province = province_units.find(unit.province);
    if (province == province_units.end())
      return fail(ErrorCode::bad_request, "commune " + number + " lies in an unknown province");
    for (const Bodies& body : bodies) {
      proto::Agency agency;
      agency.name_vi = body_name(body.branch, proto::Level::commune, unit.name);
      agency.branch = body.branch;
      agency.level = proto::Level::commune;
      agency.province = unit.province;
      agency.parent = superiors[{unit.province, body.branch}];
      agency.contact.address = province->second.name;
      maker.add(std::move(agency), {unit.province + "." + number + std::string(body.suffix)});
    }
    ++out.communes;
  }
  return out;
}

}  // namespace tram::directory
