#include "detail.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace tfclient {
namespace {

constexpr std::size_t most = 400;  // bytes that are told of a text
constexpr std::array<const char*, 3> names = {"detail", "error", "title"};  // the best one first

void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// Reads a JSON object's members of text, and passes over the others. It is no validator: where
// the text is no JSON, it stops, and what was found so far counts for nothing.
class Members {
 public:
  explicit Members(const std::string& text) : at_(text.data()), end_(at_ + text.size()) {}

  // Fills in the values of `names`; returns whether the text is an object.
  bool read(std::array<std::string, names.size()>& values) {
    if (!next('{')) return false;
    if (next('}')) return true;
    do {
      std::string name;
      if (!string(name) || !next(':')) return false;
      if (peek() == '"') {
        std::string value;
        if (!string(value)) return false;
        for (std::size_t i = 0; i < names.size(); ++i)
          if (name == names[i]) values[i] = value;
      } else if (!pass()) {
        return false;
      }
    } while (next(','));
    return next('}');
  }

 private:
  char peek() {
    while (at_ != end_ && std::strchr(" \t\r\n", *at_) != nullptr && *at_ != '\0') ++at_;
    return at_ == end_ ? '\0' : *at_;
  }

  bool next(char wanted) {
    if (peek() != wanted || at_ == end_) return false;
    ++at_;
    return true;
  }

  // A value that is no text: up to the comma or bracket that ends it.
  bool pass() {
    std::size_t depth = 0;
    while (peek() != '\0') {
      const char here = *at_;
      if (here == '"') {
        std::string ignored;
        if (!string(ignored)) return false;
        continue;
      }
      if (depth == 0 && (here == ',' || here == '}')) return true;
      if (here == '{' || here == '[') ++depth;
      if (here == '}' || here == ']') {
        if (depth == 0) return false;
        --depth;
      }
      ++at_;
    }
    return false;
  }

  bool string(std::string& text) {
    if (!next('"')) return false;
    while (at_ != end_ && *at_ != '"') {
      if (*at_ != '\\') {
        text.push_back(*at_++);
      } else if (++at_ == end_ || !escape(text)) {
        return false;
      }
    }
    if (at_ == end_) return false;
    ++at_;
    return true;
  }

  bool escape(std::string& text) {
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char kind = *at_++;
    if (kind == 'u') return unicode(text);
    const char* found = kind == '\0' ? nullptr : std::strchr(from, kind);
    if (found == nullptr) return false;
    text.push_back(to[found - from]);
    return true;
  }

  bool unicode(std::string& text) {
    std::uint32_t code = 0;
    if (!four(code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u') {
      const char* before = at_;
      std::uint32_t low = 0;
      at_ += 2;
      if (!four(low)) return false;
      if (low >= 0xDC00 && low < 0xE000)
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      else
        at_ = before;
    }
    append_utf8(text, code >= 0xD800 && code < 0xE000 ? std::uint32_t{'?'} : code);
    return true;
  }

  bool four(std::uint32_t& code) {
    if (end_ - at_ < 4) return false;
    for (int i = 0; i < 4; ++i) {
      const char digit = *at_++;
      code <<= 4;
      if (digit >= '0' && digit <= '9')
        code |= static_cast<std::uint32_t>(digit - '0');
      else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
        code |= static_cast<std::uint32_t>((digit | 0x20) - 'a' + 10);
      else
        return false;
    }
    return true;
  }

  const char* at_;
  const char* end_;
};

// A server's text goes to people's terminals: what steers those becomes a space.
std::string one_line(const std::string& text) {
  std::string line;
  const auto byte = [&text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  for (std::size_t i = 0; i < text.size() && line.size() < most; ++i) {
    const bool c1 = byte(i) == 0xC2 && byte(i + 1) >= 0x80 && byte(i + 1) < 0xA0;
    if (c1) ++i;
    line.push_back(c1 || byte(i) < 0x20 || byte(i) == 0x7F ? ' ' : text[i]);
  }
  if (line.size() == most) {  // no half a character at the end
    while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xC0) == 0x80)
      line.pop_back();
    if (!line.empty() && static_cast<unsigned char>(line.back()) >= 0xC0) line.pop_back();
    line += "…";
  }
  const auto last = line.find_last_not_of(' ');
  line.erase(last == std::string::npos ? 0 : last + 1);
  return line;
}

}  // namespace

std::string detail_of(const std::string& body) {
  std::array<std::string, names.size()> values;
  if (Members(body).read(values))
    for (const auto& value : values)
      if (!value.empty()) return one_line(value);
  return one_line(body);
}

}  // namespace tfclient
