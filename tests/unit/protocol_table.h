// The states × events tables of PROTOCOL.md, section 6, as they stand in the document, so that neither it nor the code can
// change alone.
#pragma once
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace tram::test {

using Cells = std::map<std::string, std::string>;

inline std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string_view::npos ? "" : std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

inline std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::stringstream parts(line.substr(1));
  for (std::string cell; std::getline(parts, cell, '|');) cells.push_back(trimmed(cell));
  return cells;
}

/// The table of that section whose first row names `column`: state -> event -> cell. What stands in brackets is remark.
inline std::map<std::string, Cells> protocol_table(const std::string& section, const std::string& column) {
  std::ifstream file(std::string(TRAM_SOURCE_DIR) + "/proto/PROTOCOL.md");
  REQUIRE(file.is_open());
  std::map<std::string, Cells> table;
  std::vector<std::string> head;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) inside = line.starts_with("### " + section + " ");
    if (!inside || line.empty() || line[0] != '|') {
      head.clear();
      continue;
    }
    const auto cells = cells_of(line);
    if (head.empty()) {
      head = cells;
      continue;
    }
    if (std::find(head.begin(), head.end(), column) == head.end() || cells[0].starts_with("---")) continue;
    REQUIRE(cells.size() == head.size());
    auto said = [](const std::string& cell) { return trimmed(cell.substr(0, cell.find('('))); };
    for (size_t i = 1; i < cells.size(); ++i) table[cells[0]][said(head[i])] = said(cells[i]);
  }
  REQUIRE_FALSE(table.empty());
  return table;
}

inline std::vector<std::string> keys_of(const Cells& row) {
  std::vector<std::string> keys;
  for (const auto& [key, cell] : row) keys.push_back(key);
  return keys;
}

}  // namespace tram::test
