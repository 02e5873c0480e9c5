#include <map>
#include <string>

#include "absl/time/time.h"
#include "common/net/aws_settings.h"
#include "common/net/s3_xml.h"
#include "common/net/sigv4.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// The examples of Amazon's documentation of S3, "Signature Calculations for the Authorization Header".
class SigV4Test : public ::testing::Test {
 protected:
  std::string Signature(const std::string& method, const std::string& target, const HttpHeaders& headers, const std::string& body) {
    const AwsKeys keys = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
    Url url;
    url.host = "examplebucket.s3.amazonaws.com";
    url.port = 443;
    url.path = target.substr(0, target.find('?'));
    url.query = target.size() > url.path.size() ? target.substr(url.path.size() + 1) : "";
    const absl::Time time = absl::FromCivil(absl::CivilSecond(2013, 5, 24), absl::UTCTimeZone());
    const HttpHeaders added = SignV4(keys, "us-east-1", method, url, headers, Sha256Hex(body), time);
    EXPECT_EQ(added.back().first, "Authorization");
    const std::string& value = added.back().second;
    return value.substr(value.find("Signature=") + 10);
  }
};

TEST_F(SigV4Test, OfARange) {
  EXPECT_EQ(Signature("GET", "/test.txt", {{"Range", "bytes=0-9"}}, ""), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_F(SigV4Test, OfAnUploadUnderAnEscapedKey) {
  EXPECT_EQ(Signature("PUT", "/" + UrlEscape("test$file.text", true), {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}, "Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_F(SigV4Test, OfAQueryWithoutAValue) {
  EXPECT_EQ(Signature("GET", "/?lifecycle", {}, ""), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(Signature("GET", "/?lifecycle=", {}, ""), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST_F(SigV4Test, OfAListingInAnyOrderOfItsQuery) {
  EXPECT_EQ(Signature("GET", "/?max-keys=2&prefix=J", {}, ""), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
  EXPECT_EQ(Signature("GET", "/?prefix=J&max-keys=2", {}, ""), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

absl::StatusOr<AwsSettings> Read(std::map<std::string, std::string> variables) {
  return AwsSettings::Read([variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(AwsSettingsTest, BucketsAreHostsAtAmazonAndFoldersElsewhere) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const AwsSettings amazon, Read({{"AWS_ACCESS_KEY_ID", "a"}, {"AWS_SECRET_ACCESS_KEY", "b"}, {"AWS_REGION", "eu-west-1"}}));
  EXPECT_EQ(amazon.UrlOf("bucket", "a b/c").ForRequest(), "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c");
  EXPECT_EQ(amazon.UrlOf("dotted.bucket", "a").ForRequest(), "https://s3.eu-west-1.amazonaws.com/dotted.bucket/a");
  CAIRN_ASSERT_OK_AND_ASSIGN(const AwsSettings own, Read({{"AWS_ACCESS_KEY_ID", "a"}, {"AWS_SECRET_ACCESS_KEY", "b"}, {"AWS_ENDPOINT_URL", "http://h:9000/"}}));
  EXPECT_EQ(own.UrlOf("bucket", "a+b").ForRequest(), "http://h:9000/bucket/a%2Bb");
  EXPECT_EQ(own.UrlOf("bucket", "").ForRequest(), "http://h:9000/bucket");
}

TEST(AwsSettingsTest, SayWhereCredentialsAreExpected) {
  EXPECT_THAT(Read({{"HOME", "/nowhere"}}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("AWS_ACCESS_KEY_ID")));
  EXPECT_THAT(Read({{"AWS_ACCESS_KEY_ID", "a"}, {"AWS_SECRET_ACCESS_KEY", "b"}, {"AWS_ENDPOINT_URL", "h:9000"}}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("AWS_ENDPOINT_URL")));
}

TEST(AwsSettingsTest, AreWithoutKeysIfSomebodySaysSo) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const AwsSettings settings, Read({{"AWS_NO_SIGN_REQUEST", "YES"}, {"AWS_ACCESS_KEY_ID", "a"}, {"AWS_SECRET_ACCESS_KEY", "b"}}));
  EXPECT_TRUE(settings.anonymous && settings.keys.access_key.empty() && settings.keys.secret_key.empty());
  CAIRN_ASSERT_OK_AND_ASSIGN(const AwsSettings signing, Read({{"AWS_NO_SIGN_REQUEST", "no"}, {"AWS_ACCESS_KEY_ID", "a"}, {"AWS_SECRET_ACCESS_KEY", "b"}}));
  EXPECT_FALSE(signing.anonymous);
  EXPECT_THAT(Read({{"HOME", "/nowhere"}}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("AWS_NO_SIGN_REQUEST")));
  EXPECT_THAT(Read({{"AWS_NO_SIGN_REQUEST", "perhaps"}}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("AWS_NO_SIGN_REQUEST")));
}

TEST(S3XmlTest, ReadsListingsWithWhatXmlEscapes) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const S3Listing listing, ParseS3Listing("<?xml version='1.0'?><ListBucketResult xmlns='x'><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>"
                                                                     "<Contents><Key>p/&lt;1&gt;</Key></Contents><CommonPrefixes><Prefix>p/q/</Prefix></CommonPrefixes></ListBucketResult>"));
  EXPECT_THAT(listing.keys, ElementsAre("p/<1>"));
  EXPECT_THAT(listing.prefixes, ElementsAre("p/q/"));
  EXPECT_EQ(listing.next, "a&b");
}

TEST(S3XmlTest, RefusesWhatIsNoAnswerOfS3) {
  for (const char* const text : {"", "<html></html>", "<ListBucketResult>", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}) {
    EXPECT_THAT(ParseS3Listing(text), StatusIs(absl::StatusCode::kFailedPrecondition)) << text;
  }
  EXPECT_THAT(ParseS3UploadId("<InitiateMultipartUploadResult></InitiateMultipartUploadResult>"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_FALSE(IsS3Completion("<Error><Code>InternalError</Code></Error>"));
  EXPECT_EQ(ParseS3Error("<Error><Code>NoSuchKey</Code><Message>no</Message></Error>").code, "NoSuchKey");
  EXPECT_TRUE(ParseS3Error("plain words").code.empty());
}

TEST(S3XmlTest, KeepsEntitiesOfADocumentsOwnOut) {
  const std::string bomb = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><Error><Code>&a;</Code></Error>";
  EXPECT_EQ(ParseS3Error(bomb).code, "&a;");
}

TEST(S3XmlTest, CompletesPartsInOrder) {
  EXPECT_THAT(MakeS3Completion({"\"1\"", "\"2</Part>\""}),
              EndsWith("<Part><PartNumber>1</PartNumber><ETag>\"1\"</ETag></Part><Part><PartNumber>2</PartNumber><ETag>\"2/Part\"</ETag></Part></CompleteMultipartUpload>"));
}

}  // namespace
}  // namespace cairn::testing
