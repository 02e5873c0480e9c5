#include "common/tls/pem.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_certificates.h"

namespace cairn {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TestAuthority;
using testing::TestCertificate;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(PemTest, ACertificateSaysWhomItIsForAndHowLong) {
  const absl::Time from = absl::FromUnixSeconds(1'600'000'000), until = absl::FromUnixSeconds(4'000'000'000);
  const TestAuthority authority;
  const std::string pem = authority
                              .Issue({.subject = "a b",
                                      .names = "DNS:x.example,DNS:*.y.example,IP:10.0.0.1,IP:::1",
                                      .from = from,
                                      .until = until})
                              .certificate;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto found, ParseCertificates(pem + authority.pem(), "file"));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].subject, "CN=a b");
  EXPECT_THAT(found[0].names, ElementsAre("x.example", "*.y.example", "10.0.0.1", "::1"));
  EXPECT_EQ(found[0].not_before, from);
  EXPECT_EQ(found[0].not_after, until);
  EXPECT_EQ(found[1].subject, "CN=test authority");
  EXPECT_TRUE(found[1].names.empty());
}

TEST(PemTest, NamesOfOthersCannotDisturbALine) {
  const std::string pem = TestAuthority().Issue({.subject = "a\nb\x1b[31m", .names = ""}).certificate;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto found, ParseCertificates(pem, "file"));
  for (char c : found[0].subject) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << found[0].subject;
}

TEST(PemTest, WhatIsNoCertificateIsSaidToBeWhatItIs) {
  const TestCertificate pair = TestAuthority().Issue();
  EXPECT_THAT(ParseCertificates("", "cert.pem"),
              StatusIs(kInvalidArgument, "cert.pem: expected a certificate in PEM form, found nothing in it"));
  EXPECT_THAT(ParseCertificates("\x30\x82", "cert.pem"), StatusIs(kInvalidArgument, HasSubstr("found no PEM text")));
  EXPECT_THAT(ParseCertificates(pair.key, "cert.pem"),
              StatusIs(kInvalidArgument, HasSubstr("found a private key and no certificate")));
}

TEST(PemTest, DamageIsAnErrorAlsoBehindAGoodCertificate) {
  const std::string pem = TestAuthority().Issue().certificate;
  std::string damaged = pem;
  damaged[damaged.size() / 2] = '!';
  EXPECT_THAT(ParseCertificates(damaged, "f"), StatusIs(kInvalidArgument, HasSubstr("damage in certificate 1")));
  EXPECT_THAT(ParseCertificates(pem + damaged, "f"), StatusIs(kInvalidArgument, HasSubstr("damage in certificate 2")));
  EXPECT_THAT(ParseCertificates(pem.substr(0, pem.size() / 2), "f"), StatusIs(kInvalidArgument, HasSubstr("damage")));
}

TEST(PemTest, AKeyBelongsToItsCertificateOnly) {
  const TestAuthority authority;
  const TestCertificate one = authority.Issue({.subject = "one"}), two = authority.Issue();
  CAIRN_EXPECT_OK(CheckKeyPair(one.certificate, "c", one.key, "k"));
  CAIRN_EXPECT_OK(CheckKeyPair(one.certificate + two.certificate, "c", "text before\n" + one.key, "k"));
  EXPECT_THAT(
      CheckKeyPair(one.certificate, "c.pem", two.key, "k.pem"),
      StatusIs(kInvalidArgument, "k.pem: the key does not belong to the certificate (the first one) of c.pem, CN=one"));
  EXPECT_THAT(CheckKeyPair(one.certificate, "c", one.certificate, "k"),
              StatusIs(kInvalidArgument, HasSubstr("k: expected a private key")));
  EXPECT_THAT(CheckKeyPair(one.certificate, "c", one.key.substr(0, 100), "k"),
              StatusIs(kInvalidArgument, HasSubstr("k: ")));
  EXPECT_THAT(CheckKeyPair(one.certificate, "c", testing::EncryptKey(one.key, "x"), "k"),
              StatusIs(kInvalidArgument, AllOf(HasSubstr("without a passphrase"), HasSubstr("openssl pkey"))));
}

}  // namespace
}  // namespace cairn
