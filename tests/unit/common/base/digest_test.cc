#include "common/base/digest.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;

// FIPS 180-4 examples.
constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kOfNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Canonical XXH3-128 with seed 0, as the reference implementation prints it (xxhsum -H2).
constexpr char kXxh3OfAbc[] = "06b05ab6733a618578af5f94892f3950";
constexpr char kXxh3OfNothing[] = "99aa06d3014798d86001c324468d497f";

Digest Sha256(absl::string_view bytes) { return DigestOf(bytes, DigestAlgorithm::kSha256); }
Digest Xxh3(absl::string_view bytes) { return DigestOf(bytes, DigestAlgorithm::kXxh3); }

TEST(Digest, IsXxh3OnRequest) {
  EXPECT_EQ(Xxh3("abc").ToHex(), kXxh3OfAbc);
  EXPECT_EQ(Xxh3("").ToHex(), kXxh3OfNothing);
  EXPECT_EQ(Xxh3("abc").algorithm(), DigestAlgorithm::kXxh3);
  EXPECT_NE(Xxh3("abc"), Sha256("abc"));
}

TEST(Digester, GivesTheSameXxh3ForBytesInPieces) {
  // Long enough for every path of the function: short keys, middle ones, whole stripes.
  const std::string bytes(100'000, 'x');
  for (size_t cut : {0, 1, 16, 240, 1024, 65'536, 99'999}) {
    Digester digester(DigestAlgorithm::kXxh3);
    digester.Update(absl::string_view(bytes).substr(0, cut));
    digester.Update(absl::string_view(bytes).substr(cut));
    EXPECT_EQ(digester.Finish(), Xxh3(bytes)) << cut;
  }
}

TEST(Digest, IsSha256) {
  EXPECT_EQ(Sha256("abc").ToHex(), kOfAbc);
  EXPECT_EQ(Sha256("").ToHex(), kOfNothing);
  EXPECT_EQ(Sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").ToHex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Digester, GivesTheSameForBytesInPieces) {
  Digester digester(DigestAlgorithm::kSha256);
  digester.Update("a");
  digester.Update("");
  digester.Update("bc");
  EXPECT_EQ(digester.Finish(), Sha256("abc"));
}

TEST(Digester, StartsAnewAfterFinish) {
  Digester digester(DigestAlgorithm::kSha256);
  digester.Update("something else");
  digester.Finish();
  EXPECT_EQ(digester.Finish().ToHex(), kOfNothing);
  digester.Update("abc");
  EXPECT_EQ(digester.Finish().ToHex(), kOfAbc);
}

TEST(Digester, KeepsItsStateWhenMoved) {
  Digester first(DigestAlgorithm::kSha256);
  first.Update("ab");
  Digester second = std::move(first);
  second.Update("c");
  EXPECT_EQ(second.Finish().ToHex(), kOfAbc);
}

TEST(Digest, ComesBackFromItsBytes) {
  const Digest digest = Sha256("abc");
  CAIRN_ASSERT_OK_AND_ASSIGN(const Digest back, Digest::FromBytes(digest.AsBytes()));
  EXPECT_EQ(back, digest);
  EXPECT_NE(back, Sha256("abd"));
}

TEST(Digest, RefusesLengthsThatNoAlgorithmHas) {
  EXPECT_THAT(Digest::FromBytes(std::string(17, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Digest::FromBytes(std::string(31, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Digest::FromBytes(std::string(33, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Digest::FromBytes(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace cairn
