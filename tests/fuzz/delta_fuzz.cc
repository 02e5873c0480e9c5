#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/delta/delta.h"

// The input is cut in three: how, a base and a delta for it. What comes in as a delta is refused or gives as many bytes as
// were asked for; and what the encoder makes of any two runs of bytes comes back.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size < 2) return 0;
  const size_t unit = size_t{1} << (bytes[0] & 3);
  const std::string rest(reinterpret_cast<const char*>(bytes) + 2, size - 2);
  const size_t cut = rest.size() * bytes[1] / 255;
  const std::string base = rest.substr(0, cut), encoded = rest.substr(cut);
  static cairn::DeltaDecoder decoder;
  std::string target(base.size(), '\0');
  (void)decoder.Apply(encoded, base, absl::MakeSpan(target));
  std::string carried(512, '\0');
  (void)decoder.Apply(encoded, "", absl::MakeSpan(carried));

  static cairn::DeltaEncoder encoder;
  const std::string other = rest.substr(0, base.size()), wanted = rest.substr(rest.size() - base.size());
  std::string delta;
  if (!encoder.Encode(other, wanted, unit, &delta).ok() || delta.size() > wanted.size() + 1) std::abort();
  std::string back(wanted.size(), '\0');
  if (!decoder.Apply(delta, other, absl::MakeSpan(back)).ok() || back != wanted) std::abort();
  return 0;
}
