#include "simulator/base/utf8.hpp"

#include <algorithm>
#include <array>

namespace stepcast {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

/// Characters that stand on the one before them.
constexpr std::array<Range, 4> combining{{{0x300, 0x36F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}}};

/// East Asian wide characters and emoji (Unicode Standard Annex 11, blocks rather than single characters).
constexpr std::array<Range, 8> wide{{{0x1100, 0x115F},
                                     {0x2E80, 0xA4CF},
                                     {0xAC00, 0xD7A3},
                                     {0xF900, 0xFAFF},
                                     {0xFE30, 0xFE6F},
                                     {0xFF00, 0xFF60},
                                     {0x1F300, 0x1FAFF},
                                     {0x20000, 0x3FFFD}}};

bool contains(const auto& ranges, char32_t character) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& r) { return r.first <= character && character <= r.last; });
}

unsigned byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

/// The length that a first byte announces; 0 for a byte that begins nothing.
std::size_t announced_length(unsigned first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  if (first >= 0xF0 && first < 0xF5) return 4;
  return 0;
}

char32_t decode(std::string_view text, std::size_t at, std::size_t length) {
  if (length == 1) return byte_at(text, at);
  char32_t character = byte_at(text, at) & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) character = (character << 6) | (byte_at(text, at + i) & 0x3Fu);
  return character;
}

/// No longer than needed, no surrogate, nothing beyond Unicode.
bool is_canonical(char32_t character, std::size_t length) {
  if (length == 3) return character >= 0x800 && !(character >= 0xD800 && character <= 0xDFFF);
  if (length == 4) return character >= 0x10000 && character <= 0x10FFFF;
  return true;
}

std::size_t width_of(char32_t character) {
  if (contains(combining, character)) return 0;
  return contains(wide, character) ? 2 : 1;
}

}  // namespace

std::size_t utf8_length(std::string_view text, std::size_t at) {
  if (at >= text.size()) return 0;
  const std::size_t length = announced_length(byte_at(text, at));
  if (length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte_at(text, at + i) & 0xC0u) != 0x80) return 0;
  }
  return is_canonical(decode(text, at, length), length) ? length : 0;
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return at;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    width += length == 0 ? 1 : width_of(decode(text, at, length));
    at += std::max<std::size_t>(length, 1);
  }
  return width;
}

}  // namespace stepcast
