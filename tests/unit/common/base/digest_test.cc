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

TEST(Digest, IsSha256) {
  EXPECT_EQ(DigestOf("abc").ToHex(), kOfAbc);
  EXPECT_EQ(DigestOf("").ToHex(), kOfNothing);
  EXPECT_EQ(DigestOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").ToHex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Digester, GivesTheSameForBytesInPieces) {
  Digester digester;
  digester.Update("a");
  digester.Update("");
  digester.Update("bc");
  EXPECT_EQ(digester.Finish(), DigestOf("abc"));
}

TEST(Digester, StartsAnewAfterFinish) {
  Digester digester;
  digester.Update("something else");
  digester.Finish();
  EXPECT_EQ(digester.Finish().ToHex(), kOfNothing);
  digester.Update("abc");
  EXPECT_EQ(digester.Finish().ToHex(), kOfAbc);
}

TEST(Digester, KeepsItsStateWhenMoved) {
  Digester first;
  first.Update("ab");
  Digester second = std::move(first);
  second.Update("c");
  EXPECT_EQ(second.Finish().ToHex(), kOfAbc);
}

TEST(Digest, ComesBackFromItsBytes) {
  const Digest digest = DigestOf("abc");
  CAIRN_ASSERT_OK_AND_ASSIGN(const Digest back, Digest::FromBytes(digest.AsBytes()));
  EXPECT_EQ(back, digest);
  EXPECT_NE(back, DigestOf("abd"));
}

TEST(Digest, RefusesOtherThan32Bytes) {
  EXPECT_THAT(Digest::FromBytes(std::string(31, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Digest::FromBytes(std::string(33, 'x')), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Digest::FromBytes(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace cairn
