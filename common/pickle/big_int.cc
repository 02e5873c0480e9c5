#include "common/pickle/big_int.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

constexpr uint64_t kBillion = 1'000'000'000;  // Nine digits at once.
constexpr size_t kDigits = 9;

void Negate(std::string* bytes) {
  int carry = 1;
  for (char& byte : *bytes) {
    const int sum = static_cast<unsigned char>(~byte) + carry;
    byte = static_cast<char>(sum);
    carry = sum >> 8;
  }
}

}  // namespace

std::string TwosComplementToDecimal(absl::string_view bytes) {
  const bool negative = !bytes.empty() && bytes.back() < 0;
  std::string magnitude(bytes);
  if (negative) {
    magnitude.push_back('\xff');  // Its magnitude may take one bit more.
    Negate(&magnitude);
  }
  std::vector<uint32_t> limbs((magnitude.size() + 3) / 4, 0);
  for (size_t i = 0; i < magnitude.size(); ++i) {
    limbs[i / 4] |= uint32_t{static_cast<unsigned char>(magnitude[i])} << i % 4 * 8;
  }
  std::vector<uint32_t> parts;  // Nine digits each, the lowest first.
  while (true) {
    while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
    if (limbs.empty()) break;
    uint64_t rest = 0;
    for (size_t i = limbs.size(); i-- > 0;) {
      rest = rest << 32 | limbs[i];
      limbs[i] = static_cast<uint32_t>(rest / kBillion);
      rest %= kBillion;
    }
    parts.push_back(static_cast<uint32_t>(rest));
  }
  if (parts.empty()) return "0";
  std::string text = absl::StrCat(negative ? "-" : "", parts.back());
  for (size_t i = parts.size() - 1; i-- > 0;) absl::StrAppend(&text, absl::Dec(parts[i], absl::kZeroPad9));
  return text;
}

std::optional<std::string> DecimalToTwosComplement(absl::string_view decimal) {
  const bool negative = !decimal.empty() && decimal[0] == '-';
  if (negative) decimal.remove_prefix(1);
  if (decimal.empty() || decimal.find_first_not_of("0123456789") != absl::string_view::npos) return std::nullopt;
  std::vector<uint32_t> limbs;
  while (!decimal.empty()) {
    const size_t digits = decimal.size() % kDigits == 0 ? kDigits : decimal.size() % kDigits;
    uint64_t carry = 0, scale = 1;
    for (size_t i = 0; i < digits; ++i) {
      carry = carry * 10 + static_cast<uint64_t>(decimal[i] - '0');
      scale *= 10;
    }
    decimal.remove_prefix(digits);
    for (uint32_t& limb : limbs) {
      carry += limb * scale;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs.push_back(static_cast<uint32_t>(carry));
  }
  std::string bytes;
  for (const uint32_t limb : limbs) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(limb >> shift));
  }
  bytes.push_back('\0');
  if (negative) Negate(&bytes);
  const auto repeats_sign = [&] {
    const char sign = bytes.back() < 0 ? '\xff' : '\0';
    return bytes.back() == sign && (bytes.size() == 1 ? sign == '\0' : (bytes[bytes.size() - 2] < 0) == (sign != '\0'));
  };
  while (!bytes.empty() && repeats_sign()) bytes.pop_back();
  return bytes;
}

}  // namespace cairn
