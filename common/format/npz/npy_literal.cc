#include "common/format/npz/npy_literal.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kShownBytes = 20;

class LiteralParser {
 public:
  LiteralParser(absl::string_view text, bool old_integers) : text_(text), old_integers_(old_integers) {}

  absl::StatusOr<NpyLiteral> Parse() {
    CAIRN_RETURN_IF_ERROR(Expect('{'));
    while (!Take('}')) {
      CAIRN_RETURN_IF_ERROR(ParseMember());
      if (Take(',')) continue;
      CAIRN_RETURN_IF_ERROR(Expect('}'));
      break;
    }
    SkipSpace();
    if (at_ != text_.size()) return Unexpected("nothing behind the dict");
    for (const auto& [name, has] :
         {std::pair("descr", has_descr_), std::pair("fortran_order", has_order_), std::pair("shape", has_shape_)}) {
      if (!has) return absl::InvalidArgumentError(absl::StrCat("the header lacks '", name, "'"));
    }
    return std::move(literal_);
  }

 private:
  absl::Status ParseMember() {
    CAIRN_ASSIGN_OR_RETURN(const std::string key, ParseString());
    CAIRN_RETURN_IF_ERROR(Expect(':'));
    if (key == "descr") {
      CAIRN_RETURN_IF_ERROR(Once(&has_descr_, key));
      // A structured dtype: what is in it does not matter, the array is refused.
      if (Peek() == '[') return SkipList();
      CAIRN_ASSIGN_OR_RETURN(literal_.descr, ParseString());
      if (literal_.descr.empty()) return absl::InvalidArgumentError("the header has an empty 'descr'");
      return absl::OkStatus();
    }
    if (key == "fortran_order") {
      CAIRN_RETURN_IF_ERROR(Once(&has_order_, key));
      return ParseBool();
    }
    if (key == "shape") {
      CAIRN_RETURN_IF_ERROR(Once(&has_shape_, key));
      return ParseShape();
    }
    return absl::InvalidArgumentError(absl::StrCat("the header has an unknown key \"",
                                                   absl::CHexEscape(key.substr(0, kShownBytes)),
                                                   "\", expected 'descr', 'fortran_order' and 'shape'"));
  }

  static absl::Status Once(bool* has, absl::string_view key) {
    if (*has) return absl::InvalidArgumentError(absl::StrCat("the header has '", key, "' twice"));
    *has = true;
    return absl::OkStatus();
  }

  // No escapes: NumPy's names of dtypes need none.
  absl::StatusOr<std::string> ParseString() {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Unexpected("a string");
    const size_t begin = at_ + 1;
    const size_t end = text_.find(quote, begin);
    if (end == absl::string_view::npos) return Unexpected("a string that ends");
    const absl::string_view content = text_.substr(begin, end - begin);
    if (content.find_first_of("\\\n") != absl::string_view::npos) return Unexpected("a string without escapes");
    at_ = end + 1;
    return std::string(content);
  }

  absl::Status SkipList() {
    size_t depth = 0;
    do {
      const char c = Peek();
      if (c == '\'' || c == '"') {
        CAIRN_RETURN_IF_ERROR(ParseString().status());
        continue;
      }
      if (c == '\0') return Unexpected("a list that ends");
      if (c == '[' || c == '(') ++depth;
      if (c == ']' || c == ')') --depth;
      ++at_;
    } while (depth > 0);
    return absl::OkStatus();
  }

  absl::Status ParseBool() {
    SkipSpace();
    for (const auto& [name, value] :
         {std::pair(absl::string_view("False"), false), std::pair(absl::string_view("True"), true)}) {
      if (!absl::StartsWith(text_.substr(at_), name)) continue;
      literal_.fortran_order = value;
      at_ += name.size();
      return absl::OkStatus();
    }
    return Unexpected("True or False");
  }

  absl::Status ParseShape() {
    CAIRN_RETURN_IF_ERROR(Expect('('));
    while (!Take(')')) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t extent, ParseInteger());
      literal_.shape.push_back(extent);
      if (Take(',')) continue;
      // "(3)" is a number in parentheses, not a tuple.
      if (literal_.shape.size() == 1) return Unexpected("a comma");
      CAIRN_RETURN_IF_ERROR(Expect(')'));
      break;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> ParseInteger() {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) return Unexpected("an extent");
    const size_t begin = at_;
    std::optional<uint64_t> value = 0;
    while (at_ < text_.size() && absl::ascii_isdigit(static_cast<unsigned char>(text_[at_]))) {
      if (value.has_value()) value = CheckedMul(*value, 10);
      if (value.has_value()) value = CheckedAdd(*value, static_cast<uint64_t>(text_[at_] - '0'));
      ++at_;
    }
    if (!value.has_value()) return absl::InvalidArgumentError("the header has an extent beyond 64 bits");
    if (text_[begin] == '0' && at_ - begin > 1) {
      at_ = begin;
      return Unexpected("an integer without leading zeros");
    }
    if (old_integers_ && at_ < text_.size() && text_[at_] == 'L') ++at_;
    return *value;
  }

  void SkipSpace() {
    while (at_ < text_.size() && absl::string_view(" \t\n\r").find(text_[at_]) != absl::string_view::npos) ++at_;
  }
  // The next character that is no white space; NUL at the end.
  char Peek() {
    SkipSpace();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  absl::Status Expect(char c) {
    return Take(c) ? absl::OkStatus() : Unexpected(absl::StrCat("'", std::string(1, c), "'"));
  }

  absl::Status Unexpected(absl::string_view expected) const {
    const absl::string_view found = text_.substr(at_, kShownBytes);
    return absl::InvalidArgumentError(absl::StrCat(
        "the header is not as NumPy writes it: expected ", expected, " at its byte ", at_, ", found ",
        found.empty() ? "its end" : "", found.empty() ? "" : absl::StrCat("\"", absl::CHexEscape(found), "\"")));
  }

  const absl::string_view text_;
  const bool old_integers_;
  size_t at_ = 0;
  NpyLiteral literal_;
  bool has_descr_ = false, has_order_ = false, has_shape_ = false;
};

}  // namespace

absl::StatusOr<NpyLiteral> ParseNpyLiteral(absl::string_view text, bool old_integers) {
  return LiteralParser(text, old_integers).Parse();
}

}  // namespace cairn
