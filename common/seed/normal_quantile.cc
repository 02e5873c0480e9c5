#include "common/seed/normal_quantile.h"

#include <bit>
#include <cmath>

namespace cairn {
namespace {

// Of positive normal numbers.
double Log(double x) {
  constexpr double kLn2 = 0.693147180559945309417;
  constexpr double kSqrtHalf = 0.707106781186547524401;
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int64_t exponent = static_cast<int64_t>(bits >> 52) - 1022;
  double mantissa = std::bit_cast<double>((bits & ((uint64_t{1} << 52) - 1)) | (uint64_t{1022} << 52));
  if (mantissa < kSqrtHalf) {
    mantissa *= 2;
    --exponent;
  }
  // log m = 2 artanh s; s^2 < 0.03.
  const double s = (mantissa - 1) / (mantissa + 1);
  const double square = s * s;
  double sum = 0;
  for (int odd = 25; odd >= 1; odd -= 2) sum = sum * square + 1.0 / odd;
  return static_cast<double>(exponent) * kLn2 + 2 * s * sum;
}

double Central(double q) {
  const double r = 0.180625 - q * q;
  const double above =
      ((((((2.5090809287301226727e+3 * r + 3.3430575583588128105e+4) * r + 6.7265770927008700853e+4) * r +
          4.5921953931549871457e+4) * r + 1.3731693765509461125e+4) * r + 1.9715909503065514427e+3) * r +
       1.3314166789178437745e+2) * r + 3.3871328727963666080e+0;
  const double below =
      ((((((5.2264952788528545610e+3 * r + 2.8729085735721942674e+4) * r + 3.9307895800092710610e+4) * r +
          2.1213794301586595867e+4) * r + 5.3941960214247511077e+3) * r + 6.8718700749205790830e+2) * r +
       4.2313330701600911252e+1) * r + 1.0;
  return q * above / below;
}

// Of a probability below 0.075: minus the quantile.
double Tail(double p) {
  double r = std::sqrt(-Log(p));
  if (r <= 5) {
    r -= 1.6;
    const double above =
        ((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r +
            1.27045825245236838258e+0) * r + 3.64784832476320460504e+0) * r + 5.76949722146069140550e+0) * r +
         4.63033784615654529590e+0) * r + 1.42343711074968357734e+0;
    const double below =
        ((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2) * r +
            1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e+0) * r +
         2.05319162663775882187e+0) * r + 1.0;
    return above / below;
  }
  r -= 5;
  const double above =
      ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3) * r +
          2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e+0) * r +
       5.46378491116411436990e+0) * r + 6.65790464350110377720e+0;
  const double below =
      ((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5) * r +
          7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r +
       5.99832206555887937690e-1) * r + 1.0;
  return above / below;
}

}  // namespace

void NormalQuantiles(absl::Span<double> probabilities) {
  for (double& value : probabilities) {
    const double q = value - 0.5;
    if (std::abs(q) <= 0.425) {
      value = Central(q);
    } else {
      value = q < 0 ? -Tail(value) : Tail(1 - value);
    }
  }
}

uint64_t FirstPartFrom(double z) {
  uint64_t first = 0, last = kProbabilityParts;
  while (first < last) {
    const uint64_t middle = first + (last - first) / 2;
    double quantile = ProbabilityOf(middle);
    NormalQuantiles(absl::MakeSpan(&quantile, 1));
    if (quantile < z) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

}  // namespace cairn
