#include "server/app/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "absl/time/clock.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_certificates.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;
using testing::TestCertificate;

class TlsFilesTest : public ::testing::Test {
 protected:
  TlsFilesTest() {
    options_.tls_cert = folder_ / "cert.pem";
    options_.tls_key = folder_ / "key.pem";
  }
  void Write(const TestCertificate& pair) {
    std::ofstream(options_.tls_cert) << pair.certificate;
    std::ofstream(options_.tls_key) << pair.key;
  }
  // What is logged meanwhile.
  template <typename F>
  static std::string Logged(F work) {
    ::testing::internal::CaptureStderr();
    work();
    return ::testing::internal::GetCapturedStderr();
  }

  const testing::TempDir folder_;
  const testing::TestAuthority authority_;
  DaemonOptions options_;
};

TEST_F(TlsFilesTest, FilesThatStayAreOneSet) {
  Write(authority_.Issue());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto files, TlsFiles::Load(options_));
  const auto set = files->Current();
  EXPECT_EQ(files->Current(), set);
  EXPECT_THAT(set->client_ca, IsEmpty());
}

TEST_F(TlsFilesTest, ATouchedFileWithTheSameContentIsNoNewSet) {
  const TestCertificate pair = authority_.Issue();
  Write(pair);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto files, TlsFiles::Load(options_));
  const auto set = files->Current();
  std::remove(options_.tls_key.c_str());
  Write(pair);
  EXPECT_EQ(files->Current(), set);
}

TEST_F(TlsFilesTest, ABadStateIsLoggedOnceAndTheGoodOneBeforeStays) {
  const TestCertificate pair = authority_.Issue();
  Write(pair);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto files, TlsFiles::Load(options_));
  const auto set = files->Current();
  std::ofstream(options_.tls_key) << "half of a k";
  EXPECT_THAT(Logged([&] { EXPECT_EQ(files->Current(), set); }), HasSubstr("key.pem: expected a private key"));
  EXPECT_THAT(Logged([&] { EXPECT_EQ(files->Current(), set); }), IsEmpty());
  const TestCertificate fresh = authority_.Issue();
  Write(fresh);
  EXPECT_THAT(Logged([&] { EXPECT_EQ(files->Current()->key, fresh.key); }), HasSubstr("tls files reloaded"));
  EXPECT_NE(files->Current()->generation, set->generation);
}

TEST_F(TlsFilesTest, ACertificateThatEndsIsAWarningADay) {
  const absl::Time end = absl::Now() + absl::Hours(24 * 30);
  Write(authority_.Issue({.until = end}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto files, TlsFiles::Load(options_));
  const auto at = [&](absl::Duration before) { return Logged([&] { files->Maintain(end - before); }); };
  EXPECT_THAT(at(absl::Hours(24 * 15)), IsEmpty());
  EXPECT_THAT(at(absl::Hours(24 * 13)), HasSubstr("ends soon"));
  EXPECT_THAT(at(absl::Hours(24 * 13 - 1)), IsEmpty());
  EXPECT_THAT(at(absl::Hours(24 * 12)), HasSubstr("ends soon"));
  EXPECT_THAT(at(-absl::Hours(24)), HasSubstr("has expired"));
}

TEST_F(TlsFilesTest, WhatIsMissingIsNamedByItsOption) {
  Write(authority_.Issue());
  options_.tls_client_ca = folder_ / "clients.pem";
  EXPECT_THAT(TlsFiles::Load(options_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tls_client_ca")));
}

}  // namespace
}  // namespace cairn
