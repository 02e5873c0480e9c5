// TLS as operators and users meet it: that it works, and what is said where it does not.
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_certificates.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const TestAuthority& Authority() {
  static const TestAuthority& authority = *new TestAuthority("our authority");
  return authority;
}
const TestAuthority& OtherAuthority() {
  static const TestAuthority& authority = *new TestAuthority("another authority");
  return authority;
}

class TlsTest : public ::testing::Test {
 protected:
  // Replaces a file as careful people do, in one step, so that no reader sees half of it.
  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_ / name;
    std::ofstream(path + ".new") << text;
    ::chmod((path + ".new").c_str(), mode);
    EXPECT_EQ(std::rename((path + ".new").c_str(), path.c_str()), 0);
    return path;
  }

  void WritePair(const TestCertificate& pair) {
    Write("cert.pem", pair.certificate);
    Write("key.pem", pair.key);
  }

  // A daemon that serves over TCP, with `pair` unless there is none, and with client certificates of `client_ca`.
  void Start(const std::optional<TestCertificate>& pair = Authority().Issue(), const std::string& client_ca = "") {
    std::vector<std::string> flags = {"--listen", "localhost:0"};
    if (pair.has_value()) {
      WritePair(*pair);
      flags.insert(flags.end(), {"--tls-cert", folder_ / "cert.pem", "--tls-key", folder_ / "key.pem"});
    }
    if (!client_ca.empty()) flags.insert(flags.end(), {"--tls-client-ca", Write("client-ca.pem", client_ca)});
    daemon_ = std::make_unique<DaemonProcess>(folder_.path(), std::move(flags));
    daemon_->Start();
    CAIRN_ASSERT_OK(daemon_->Connect().GetServerInfo());
    const std::string log = daemon_->Log();
    const size_t at = log.rfind("addresses=localhost:");
    ASSERT_NE(at, std::string::npos) << log;
    target_ = log.substr(at + 10, log.find(',', at) - at - 10);
  }

  // Retries for ever: what a test sees fail has not been retried.
  absl::StatusOr<client::Client> Connect(const std::optional<client::TlsOptions>& tls, std::string target = "") const {
    client::Options options;
    options.retry_for = absl::InfiniteDuration();
    options.tls = tls;
    return client::Client::Connect(target.empty() ? target_ : target, options);
  }

  absl::Status Try(const std::optional<client::TlsOptions>& tls, const std::string& target = "") const {
    CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(tls, target));
    return client.GetServerInfo().status();
  }

  static client::TlsOptions Trust(const TestAuthority& authority = Authority()) {
    return {.root_certificates = authority.pem()};
  }
  static client::TlsOptions As(const TestCertificate& pair) {
    return {.root_certificates = Authority().pem(), .client_certificate = pair.certificate, .client_key = pair.key};
  }

  std::string Ip() const { return absl::StrCat("127.0.0.1", target_.substr(target_.rfind(':'))); }

  const TempDir folder_;
  std::unique_ptr<DaemonProcess> daemon_;
  std::string target_;
};

MATCHER_P3(IsTlsError, code, reason, text, "") {
  *result_listener << arg.ToString() << " [" << GetErrorInfo(arg).reason << "]";
  return arg.code() == code && GetErrorInfo(arg).reason == reason && absl::StrContains(arg.message(), text);
}
constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;

TEST_F(TlsTest, ACheckpointTravelsThereAndBack) {
  Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::Client client, Connect(Trust()));
  const std::string bytes = PatternBytes(5 << 20, 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client.Save({.name = "run", .step = 1}));
  CAIRN_ASSERT_OK(save->Put(Entry::Tensor(KeyPath::Of({"w"}), Dtype::kUint8, {5 << 20}, 5 << 20),
                            client::EntryBytes::Of(Buffer::FromString(bytes))));
  CAIRN_ASSERT_OK(save->Commit());
  CAIRN_ASSERT_OK_AND_ASSIGN(auto load, client.Load({.ref = "run"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto entry, load->Next());
  ASSERT_TRUE(entry.has_value());
  std::string loaded(entry->bytes, '\0');
  CAIRN_ASSERT_OK(load->ReadInto(absl::MakeSpan(loaded)));
  EXPECT_TRUE(loaded == bytes);
}

TEST_F(TlsTest, AnAddressIsAsGoodAsANameIfTheCertificateHasIt) {
  Start();
  CAIRN_EXPECT_OK(Try(Trust(), Ip()));
}

TEST_F(TlsTest, TheUnixSocketStaysPlain) {
  Start();
  CAIRN_EXPECT_OK(Try(std::nullopt, daemon_->target()));
  EXPECT_THAT(Connect(Trust(), daemon_->target()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("always plain")));
}

TEST_F(TlsTest, WithAClientAuthorityEveryClientNeedsACertificateOfIt) {
  Start(Authority().Issue(), OtherAuthority().pem());
  CAIRN_EXPECT_OK(Try(As(OtherAuthority().Issue({.subject = "rank 0", .names = ""}))));
  EXPECT_THAT(Try(Trust()), IsTlsError(kUnauthenticated, "TLS_CLIENT_CERTIFICATE", "none was given"));
  EXPECT_THAT(
      Try(As(Authority().Issue({.subject = "rank 1"}))),
      IsTlsError(kUnauthenticated, "TLS_CLIENT_CERTIFICATE", "does not accept the client's certificate (CN=rank 1)"));
  EXPECT_THAT(Try(As(OtherAuthority().Issue({.until = absl::Now() - absl::Hours(1)}))),
              IsTlsError(kUnauthenticated, "TLS_CLIENT_CERTIFICATE", "it expired on "));
  EXPECT_THAT(Try(std::nullopt), IsTlsError(kFailedPrecondition, "TLS_REQUIRED", "speaks TLS"));
}

TEST_F(TlsTest, APlainClientIsToldToSpeakTls) {
  Start();
  EXPECT_THAT(Try(std::nullopt), IsTlsError(kFailedPrecondition, "TLS_REQUIRED", "--tls-ca FILE"));
}

TEST_F(TlsTest, AStreamOfAPlainClientIsToldSoToo) {
  Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::Client client, Connect(std::nullopt));
  EXPECT_THAT(client.Load({.ref = "run"}).status(), IsTlsError(kFailedPrecondition, "TLS_REQUIRED", "speaks TLS"));
  EXPECT_THAT(client.Verify("run").status(), IsTlsError(kFailedPrecondition, "TLS_REQUIRED", "speaks TLS"));
}

TEST_F(TlsTest, AClientOfTlsIsToldOfAPlainDaemon) {
  Start(std::nullopt);
  EXPECT_THAT(Try(Trust()), IsTlsError(kFailedPrecondition, "TLS_SERVER_IS_PLAIN", "speaks plain text"));
}

TEST_F(TlsTest, AnUnknownAuthorityIsNamedAsTheCause) {
  Start();
  EXPECT_THAT(Try(Trust(OtherAuthority())),
              IsTlsError(kFailedPrecondition, "TLS_UNKNOWN_AUTHORITY", "hold the one that issued it"));
  EXPECT_THAT(Try(client::TlsOptions()),
              IsTlsError(kFailedPrecondition, "TLS_UNKNOWN_AUTHORITY", "Does the system know"));
}

TEST_F(TlsTest, AWrongNameIsSaidWithTheNamesThereAre) {
  Start(Authority().Issue({.subject = "x", .names = "DNS:cairn.example,DNS:cairn"}));
  EXPECT_THAT(Try(Trust()),
              IsTlsError(kFailedPrecondition, "TLS_WRONG_NAME", "not for localhost but for cairn.example, cairn"));
  EXPECT_THAT(Try(Trust(), Ip()), IsTlsError(kFailedPrecondition, "TLS_WRONG_NAME", "not for 127.0.0.1"));
  client::TlsOptions tls = Trust();
  tls.server_name = "cairn.example";
  CAIRN_EXPECT_OK(Try(tls));
}

TEST_F(TlsTest, AnExpiredCertificateIsSaidWithItsDay) {
  Start(Authority().Issue(
      {.subject = "old", .until = absl::FromCivil(absl::CivilSecond(2020, 2, 3, 4, 5), absl::UTCTimeZone())}));
  EXPECT_THAT(Try(Trust()), IsTlsError(kFailedPrecondition, "TLS_EXPIRED", "(CN=old) expired on 2020-02-03 04:05 UTC"));
}

TEST_F(TlsTest, ACertificateOfTheFutureAsksForTheClock) {
  Start(Authority().Issue({.from = absl::Now() + absl::Hours(30)}));
  EXPECT_THAT(Try(Trust()), IsTlsError(kFailedPrecondition, "TLS_EXPIRED", "Is the clock of this machine right?"));
}

TEST_F(TlsTest, NobodyThereIsStillTriedAgain) {
  Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::Client client, Connect(Trust()));
  daemon_->Kill();
  const std::string target = target_;
  std::thread restart([&] {
    // The port is a free one that nobody else is likely to have taken meanwhile.
    daemon_ = std::make_unique<DaemonProcess>(
        folder_.path(), std::vector<std::string>{"--listen", target, "--tls-cert", folder_ / "cert.pem", "--tls-key",
                                                 folder_ / "key.pem"});
    daemon_->Start();
  });
  CAIRN_EXPECT_OK(client.GetServerInfo());
  restart.join();
}

TEST_F(TlsTest, NewFilesAreTakenUpByTheNextConnection) {
  Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::Client before, Connect(Trust()));
  CAIRN_ASSERT_OK(before.GetServerInfo());
  WritePair(OtherAuthority().Issue());
  CAIRN_EXPECT_OK(Try(Trust(OtherAuthority())));
  EXPECT_THAT(Try(Trust()), IsTlsError(kFailedPrecondition, "TLS_UNKNOWN_AUTHORITY", "cannot be verified"));
  CAIRN_EXPECT_OK(before.GetServerInfo());  // The connection that it has goes on.
  EXPECT_THAT(daemon_->Log(), HasSubstr("tls files reloaded"));
}

TEST_F(TlsTest, FilesThatDoNotBelongTogetherChangeNothingUntilTheyDo) {
  Start();
  const TestCertificate fresh = OtherAuthority().Issue();
  Write("cert.pem", fresh.certificate);
  CAIRN_EXPECT_OK(Try(Trust()));
  EXPECT_THAT(daemon_->Log(), AllOf(HasSubstr("changed tls files cannot be used"), HasSubstr("does not belong")));
  Write("key.pem", fresh.key);
  CAIRN_EXPECT_OK(Try(Trust(OtherAuthority())));
  for (const char* name : {"cert.pem", "key.pem"}) std::remove((folder_ / name).c_str());
  CAIRN_EXPECT_OK(Try(Trust(OtherAuthority())));
}

TEST_F(TlsTest, ANewClientAuthorityIsTakenUp) {
  Start(Authority().Issue(), OtherAuthority().pem());
  const TestCertificate pair = Authority().Issue({.subject = "rank 0"});
  EXPECT_THAT(Try(As(pair)), StatusIs(kUnauthenticated));
  Write("client-ca.pem", OtherAuthority().pem() + Authority().pem());
  CAIRN_EXPECT_OK(Try(As(pair)));
}

class TlsStartTest : public TlsTest {
 protected:
  // What a daemon with these flags says before it gives up.
  std::string Refused(const std::vector<std::string>& flags, int expected_code) {
    std::remove((folder_ / "cairnd.log").c_str());
    DaemonProcess daemon(folder_.path(), flags);
    daemon.Start();
    const int status = daemon.Wait();
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), expected_code);
    return daemon.Log();
  }
};

TEST_F(TlsStartTest, EachMistakeIsNamedWithTheFile) {
  const TestCertificate pair = Authority().Issue({.subject = "one"});
  const std::string cert = Write("cert.pem", pair.certificate), key = Write("key.pem", pair.key);
  const auto with = [&](const std::string& c, const std::string& k, const std::string& ca = "") {
    return std::vector<std::string>{"--listen", "localhost:0", "--tls-cert", c, "--tls-key", k, "--tls-client-ca", ca};
  };
  EXPECT_THAT(Refused(with(cert, ""), 2), AllOf(HasSubstr("tls_cert (--tls-cert)"), HasSubstr("found no tls_key")));
  EXPECT_THAT(Refused(with("", key), 2), AllOf(HasSubstr("tls_key (--tls-key)"), HasSubstr("found no tls_cert")));
  EXPECT_THAT(Refused(with("", "", cert), 2),
              HasSubstr("tls_client_ca (--tls-client-ca): expected tls_cert and tls_key"));
  EXPECT_THAT(Refused(with(folder_ / "none.pem", key), 1), AllOf(HasSubstr("tls_cert: "), HasSubstr("none.pem")));
  EXPECT_THAT(Refused(with(cert, folder_ / "none.pem"), 1), AllOf(HasSubstr("tls_key: "), HasSubstr("none.pem")));
  EXPECT_THAT(Refused(with(cert, key, folder_ / "none.pem"), 1),
              AllOf(HasSubstr("tls_client_ca: "), HasSubstr("none.pem")));
  const std::string text = Write("text.pem", "hello"), empty = Write("empty.pem", "");
  EXPECT_THAT(Refused(with(text, key), 2), AllOf(HasSubstr("tls_cert " + text), HasSubstr("found no PEM text")));
  EXPECT_THAT(Refused(with(empty, key), 2), HasSubstr("found nothing in it"));
  EXPECT_THAT(Refused(with(key, cert), 2), HasSubstr("found a private key and no certificate"));
  EXPECT_THAT(Refused(with(cert, cert), 2), HasSubstr("found a certificate and no private key"));
  EXPECT_THAT(Refused(with(cert, key, key), 2), HasSubstr("tls_client_ca " + key));
  const std::string cut = Write("cut.pem", pair.certificate.substr(0, 200) + "\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(Refused(with(cut, key), 2), HasSubstr("was the file copied whole?"));
  const std::string other = Write("other.pem", Authority().Issue().key);
  EXPECT_THAT(Refused(with(cert, other), 2),
              AllOf(HasSubstr(other), HasSubstr("does not belong to the certificate"), HasSubstr("CN=one")));
  const std::string locked = Write("locked.pem", EncryptKey(pair.key, "secret"));
  EXPECT_THAT(Refused(with(cert, locked), 2), AllOf(HasSubstr("an encrypted one"), HasSubstr("openssl pkey")));
}

TEST_F(TlsStartTest, AKeyThatEverybodyMayReadIsAWarning) {
  Start();
  EXPECT_THAT(daemon_->Log(), Not(HasSubstr("may read the private key")));
  daemon_->Kill();
  ::chmod((folder_ / "key.pem").c_str(), 0644);
  daemon_->Start();
  CAIRN_EXPECT_OK(daemon_->Connect().GetServerInfo());
  EXPECT_THAT(daemon_->Log(), HasSubstr("every user of this machine may read the private key"));
}

}  // namespace
}  // namespace cairn::testing
