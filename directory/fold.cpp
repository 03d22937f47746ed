#include "directory/directory.h"

namespace tram::directory {
namespace {

struct Range {
  uint32_t first, last;
  char base;
};
// Latin letters of Vietnamese (and their neighbours in the same blocks) to their base letter.
constexpr Range ranges[] = {
    {0xc0, 0xc5, 'a'},     {0xc7, 0xc7, 'c'},     {0xc8, 0xcb, 'e'},     {0xcc, 0xcf, 'i'},     {0xd0, 0xd0, 'd'},
    {0xd1, 0xd1, 'n'},     {0xd2, 0xd6, 'o'},     {0xd8, 0xd8, 'o'},     {0xd9, 0xdc, 'u'},     {0xdd, 0xdd, 'y'},
    {0xe0, 0xe5, 'a'},     {0xe7, 0xe7, 'c'},     {0xe8, 0xeb, 'e'},     {0xec, 0xef, 'i'},     {0xf0, 0xf0, 'd'},
    {0xf1, 0xf1, 'n'},     {0xf2, 0xf6, 'o'},     {0xf8, 0xf8, 'o'},     {0xf9, 0xfc, 'u'},     {0xfd, 0xfd, 'y'},
    {0xff, 0xff, 'y'},     {0x100, 0x105, 'a'},   {0x110, 0x111, 'd'},   {0x112, 0x11b, 'e'},   {0x128, 0x131, 'i'},
    {0x14c, 0x151, 'o'},   {0x168, 0x173, 'u'},   {0x1a0, 0x1a1, 'o'},   {0x1af, 0x1b0, 'u'},   {0x1ea0, 0x1eb7, 'a'},
    {0x1eb8, 0x1ec7, 'e'}, {0x1ec8, 0x1ecb, 'i'}, {0x1ecc, 0x1ee3, 'o'}, {0x1ee4, 0x1ef1, 'u'}, {0x1ef2, 0x1ef9, 'y'},
};

constexpr uint32_t stray = 0xffffffff;

/// Bytes of the UTF-8 sequence at the front, and its code point; `stray` for a byte that begins none.
size_t decode(std::string_view text, uint32_t& point) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 1;
  point = lead < 0x80 ? lead : stray;
  if (length == 1 || text.size() < length) return 1;
  point = lead & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) point = point << 6 | (static_cast<uint8_t>(text[i]) & 0x3f);
  return length;
}

}  // namespace

std::string fold(std::string_view vietnamese) {
  std::string out;
  out.reserve(vietnamese.size());
  bool space = false;
  while (!vietnamese.empty()) {
    uint32_t point = 0;
    const size_t length = decode(vietnamese, point);
    const std::string_view letter = vietnamese.substr(0, length);
    vietnamese.remove_prefix(length);
    if (point <= ' ' || point == 0xa0) {
      space = !out.empty();
      continue;
    }
    if (point >= 0x300 && point <= 0x36f) continue;  // combining marks of decomposed text
    if (space) out += ' ';
    space = false;
    if (point < 0x80) {
      out += static_cast<char>(point >= 'A' && point <= 'Z' ? point + 32 : point);
      continue;
    }
    char base = 0;
    for (const Range& range : ranges)
      if (point >= range.first && point <= range.last) base = range.base;
    if (base)
      out += base;
    else
      out += letter;
  }
  return out;
}

}  // namespace tram::directory
