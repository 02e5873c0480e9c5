#include "common/net/url.h"

#include <string>

#include "common/net/remote_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Url Parsed(const std::string& text) {
  const absl::StatusOr<Url> url = Url::Parse(text);
  EXPECT_TRUE(url.ok()) << text << ": " << url.status();
  return url.value_or(Url());
}

TEST(UrlTest, HasThePortThatIsMeantAndAHostInLowerCase) {
  const Url url = Parsed("HTTPS://Models.Example.ORG/a/b.bin?x=1");
  EXPECT_EQ(url.host, "models.example.org");
  EXPECT_EQ(url.port, 443);
  EXPECT_EQ(url.path, "/a/b.bin");
  EXPECT_EQ(url.query, "x=1");
  EXPECT_EQ(Parsed("http://h:8080").port, 8080);
  EXPECT_EQ(Parsed("http://h").path, "/");
  EXPECT_EQ(Parsed("http://[::1]:9/x").host, "[::1]");
}

TEST(UrlTest, ShowsNoSecrets) {
  const Url url = Parsed("https://me:pass@h/a?X-Amz-Signature=secret#part");
  EXPECT_EQ(url.Shown(), "https://h/a");
  EXPECT_EQ(url.user, "me");
  EXPECT_EQ(url.password, "pass");
  EXPECT_EQ(url.ForRequest(), "https://h/a?X-Amz-Signature=secret");
  EXPECT_EQ(ShownPlace("torch::https://me:pass@h/a?b=secret"), "torch::https://h/a");
  EXPECT_EQ(ShownPlace("server::safetensors::https://h/a?secret"), "server::safetensors::https://h/a");
  EXPECT_EQ(ShownPlace("./what?ever"), "./what?ever");
  for (const char* const text : {"ftp://me:secret@h/x?secret", "https://me:secret@h:99999/?secret", "https://me:secret@h/a b?secret"}) {
    EXPECT_THAT(Url::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("secret")))) << text;
  }
}

TEST(UrlTest, TakesKeysOfS3AsTheyAre) {
  const Url url = Parsed("s3://my-bucket/a b/c%41?d#e");
  EXPECT_EQ(url.host, "my-bucket");
  EXPECT_EQ(url.path, "a b/c%41?d#e");
  EXPECT_FALSE(url.is_folder());
  EXPECT_TRUE(Parsed("s3://my-bucket").is_folder());
  EXPECT_TRUE(Parsed("s3://my-bucket/a/").is_folder());
  for (const char* const text : {"s3://", "s3:///key", "s3://b!d/key", "s3://../key", "s3://user@bucket/key"}) {
    EXPECT_THAT(Url::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(UrlTest, RefusesControlCharactersSpacesAndBackslashes) {
  for (const std::string text : {std::string("http://h/a\nb"), std::string("http://h/a\0b", 12), std::string("http://h/a b"), std::string("http://h\\@evil/"), std::string("http://")}) {
    EXPECT_THAT(Url::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(UrlTest, ResolvesRedirectsAndNeighbours) {
  const Url url = Parsed("https://u:p@h/a/model.safetensors.index.json?download=true");
  CAIRN_ASSERT_OK_AND_ASSIGN(const Url there, url.Resolve("../x?y=1"));
  EXPECT_EQ(there.ForRequest(), "https://h/x?y=1");
  EXPECT_TRUE(there.user.empty());
  CAIRN_ASSERT_OK_AND_ASSIGN(const Url elsewhere, url.Resolve("//other:1/z"));
  EXPECT_EQ(elsewhere.Origin(), "https://other:1");
  EXPECT_THAT(url.Resolve("file:///etc/passwd"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(url.Parent().Child("model 1.safetensors").ForRequest(), "https://h/a/model%201.safetensors?download=true");
}

TEST(AllowedUrlsTest, AllowWhatLiesBelowAndNothingElse) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const AllowedUrls allowed, AllowedUrls::Make({"https://h/models/", "https://h:444/one", "s3://bucket/team"}));
  for (const char* const text : {"https://h/models/a", "https://H:443/models/a?token=1", "https://h:444/one", "https://h:444/one/two", "s3://bucket/team", "s3://bucket/team/x"}) {
    CAIRN_EXPECT_OK(allowed.Check(Parsed(text))) << text;
  }
  for (const char* const text : {"http://h/models/a", "https://h/model", "https://h/models", "https://h:8443/models/a", "https://h.evil/models/a", "https://evil/models/a", "https://h:444/only",
                                 "s3://bucket/teams", "s3://bucket2/team/x", "s3://bucket"}) {
    EXPECT_THAT(allowed.Check(Parsed(text)), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("https://h/models/"))) << text;
  }
}

TEST(AllowedUrlsTest, RefuseWhatCouldLeadOut) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const AllowedUrls allowed, AllowedUrls::Make({"https://h/models/", "s3://bucket/team/"}));
  for (const char* const text : {"https://h/models/%2e%2e/secret", "https://h/models/..%2fsecret", "https://h/models/%252e%252e/secret", "https://h/models/%25252e%25252E/secret", "https://h/models/x%5c..%5csecret", "https://h/models/..;/secret",
                                 "https://me:you@h/models/a", "s3://bucket/team/../secret"}) {
    EXPECT_THAT(allowed.Check(Parsed(text)), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  // The parser resolves these itself, and then they lie outside.
  EXPECT_THAT(allowed.Check(Parsed("https://h/models/../secret")), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(AllowedUrls().Check(Parsed("https://h/models/a")), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("--allowed-urls")));
}

TEST(AllowedUrlsTest, ArePrefixesWithoutQueryUserAndDots) {
  for (const char* const text : {"h/models", "https://h/?a=1", "https://u@h/", "https://h/%2e%2e/", "https://h/#a"}) {
    EXPECT_THAT(AllowedUrls::Make({text}), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ContentRangeTest, IsReadOnlyWhereItIsSound) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ContentRange range, ParseContentRange("bytes 5-9/100"));
  EXPECT_EQ(range.begin, 5u);
  EXPECT_EQ(range.end, 10u);
  EXPECT_EQ(range.total, 100u);
  for (const char* const text : {"", "bytes */100", "bytes 5-9/*", "bytes 9-5/100", "bytes 5-100/100", "bytes 5-9", "bytes -9/100", "bytes 5-/100", "items 5-9/100", "bytes 5-9/100/1", "bytes +5-9/100",
                                 "bytes 0-9223372036854775807/9223372036854775808", "bytes 0-1/99999999999999999999"}) {
    EXPECT_THAT(ParseContentRange(text), StatusIs(absl::StatusCode::kFailedPrecondition)) << text;
  }
}

}  // namespace
}  // namespace cairn::testing
