#include "client/cpp/src/tls_probe.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cpp/src/target.h"
#include "common/base/error_info.h"
#include "common/tls/certificate_info.h"

namespace cairn::client {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(3);
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
// OpenSSL counts the alerts that the peer sends from here on.
constexpr int kAlerts = SSL_AD_REASON_OFFSET;

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> Text(const std::string& pem) {
  return Owned<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

std::string Day(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone()); }

// A TCP connection that gives up at a deadline or when the caller has given up.
class Socket {
 public:
  explicit Socket(const std::function<bool()>& cancelled) : cancelled_(cancelled), deadline_(absl::Now() + kLimit) {}
  ~Socket() { Close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool Connect(const std::string& host, const std::string& port) {
    addrinfo hints = {};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return false;
    const Owned<addrinfo> addresses(found);
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
      Close();
      fd_ = ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (fd_ < 0) continue;
      if (::connect(fd_, address->ai_addr, address->ai_addrlen) == 0) return true;
      int error = errno;
      socklen_t size = sizeof(error);
      if (error == EINPROGRESS && Await(POLLOUT) && ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
          error == 0) {
        return true;
      }
    }
    return false;
  }

  bool Send(const char* data, size_t size) {
    while (size > 0) {
      const ssize_t sent = ::send(fd_, data, size, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && (errno != EAGAIN || !Await(POLLOUT))) return false;
      if (sent < 0) continue;
      data += sent;
      size -= static_cast<size_t>(sent);
    }
    return true;
  }

  // Some bytes; none at the end of the connection or of patience.
  size_t Receive(char* data, size_t size) {
    while (true) {
      const ssize_t got = ::recv(fd_, data, size, 0);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EINTR) continue;
      if (errno != EAGAIN || !Await(POLLIN)) return 0;
    }
  }

  // Whether the other side ended it, rather than our patience.
  bool out_of_time() const { return out_of_time_; }

 private:
  bool Await(short events) {
    while (true) {
      if (absl::Now() >= deadline_ || (cancelled_ != nullptr && cancelled_())) {
        out_of_time_ = true;
        return false;
      }
      pollfd poll = {fd_, events, 0};
      if (::poll(&poll, 1, static_cast<int>(absl::ToInt64Milliseconds(kLookEvery))) > 0) return true;
    }
  }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  const std::function<bool()>& cancelled_;
  const absl::Time deadline_;
  int fd_ = -1;
  bool out_of_time_ = false;
};

// TLS over such a connection. OpenSSL sees memory only: writing into a socket that the peer has closed would be a
// SIGPIPE.
class Session {
 public:
  Session(SSL_CTX* context, Socket& socket) : socket_(socket), ssl_(SSL_new(context)) {
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_.get());
  }
  SSL* ssl() const { return ssl_.get(); }

  // True once the handshake is done; else error() says why not.
  bool Handshake() {
    return Run([&] { return SSL_do_handshake(ssl_.get()); });
  }
  // Whether the peer, after the handshake, says something of its own accord: a gRPC server does.
  bool HearsAnything() {
    char byte;
    return Run([&] { return SSL_read(ssl_.get(), &byte, 1); });
  }
  // OpenSSL's reason for the last failure; 0 if the connection just ended.
  int error() const { return error_; }

 private:
  template <typename F>
  bool Run(F step) {
    while (true) {
      ERR_clear_error();
      const int result = step();
      error_ = result > 0 ? 0 : ERR_GET_REASON(ERR_peek_error());
      const int kind = SSL_get_error(ssl_.get(), result);
      ERR_clear_error();
      char* data = nullptr;
      BIO* const out = SSL_get_wbio(ssl_.get());
      const long pending = BIO_get_mem_data(out, &data);
      const bool sent = pending <= 0 || socket_.Send(data, static_cast<size_t>(pending));
      (void)BIO_reset(out);
      if (result > 0) return true;
      // What the peer said before it closed is worth reading, even if it takes nothing any more.
      if (kind != SSL_ERROR_WANT_READ || (!sent && pending <= 0)) return false;
      char buffer[4096];
      const size_t got = socket_.Receive(buffer, sizeof(buffer));
      if (got == 0) return false;
      BIO_write(SSL_get_rbio(ssl_.get()), buffer, static_cast<int>(got));
    }
  }

  Socket& socket_;
  const Owned<SSL> ssl_;
  int error_ = 0;
};

class Probe {
 public:
  Probe(absl::string_view target, const Options& options, const std::function<bool()>& cancelled)
      : target_(target), options_(options), socket_(cancelled), context_(SSL_CTX_new(TLS_client_method())) {}

  absl::Status Run() {
    const HostPort address = SplitTarget(target_);
    if (context_ == nullptr || !socket_.Connect(address.host, address.port)) return absl::OkStatus();
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);  // It is looked at afterwards.
    const unsigned char kAlpn[] = {2, 'h', '2'};
    SSL_CTX_set_alpn_protos(context_.get(), kAlpn, sizeof(kAlpn));
    if (!options_.tls.has_value()) return PlainClient();
    const std::string name = options_.tls->server_name.empty() ? address.host : options_.tls->server_name;
    UseCertificates();
    Session session(context_.get(), socket_);
    X509_VERIFY_PARAM* const verify = SSL_get0_param(session.ssl());
    if (X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str()) != 1) {
      X509_VERIFY_PARAM_set1_host(verify, name.c_str(), name.size());
      SSL_set_tlsext_host_name(session.ssl(), name.c_str());
    }
    const bool shook_hands = session.Handshake();
    if (const absl::Status status = ServerCertificate(session.ssl(), name); !status.ok()) return status;
    if (shook_hands && session.HearsAnything()) return absl::OkStatus();
    if (socket_.out_of_time()) return absl::OkStatus();
    if (session.error() == SSL_R_WRONG_VERSION_NUMBER) return ServerIsPlain();
    return asked_for_certificate_ ? ClientCertificate(session.error()) : absl::OkStatus();
  }

 private:
  absl::Status Failed(absl::StatusCode code, const char* reason, const std::string& what) const {
    return WithErrorInfo(absl::Status(code, absl::StrCat("cannot connect to cairnd at ", target_, ": ", what)),
                         {reason, {{"target", target_}}});
  }
  absl::Status Failed(const char* reason, const std::string& what) const {
    return Failed(absl::StatusCode::kFailedPrecondition, reason, what);
  }

  absl::Status PlainClient() {
    Session session(context_.get(), socket_);
    if (!session.Handshake() && session.error() <= kAlerts) return absl::OkStatus();
    return Failed("TLS_REQUIRED",
                  "the daemon there speaks TLS, and this client was told to speak plain text. Ask for TLS (--tls, or "
                  "--tls-ca FILE for an authority of your own; in Python tls=cairn.Tls(ca=...))");
  }

  absl::Status ServerIsPlain() const {
    return Failed("TLS_SERVER_IS_PLAIN",
                  "the daemon there speaks plain text, and this client was told to speak TLS. Start the daemon with "
                  "--tls-cert and --tls-key, or connect without TLS; is it the right port?");
  }

  void UseCertificates() {
    const TlsOptions& tls = *options_.tls;
    X509_STORE* const store = SSL_CTX_get_cert_store(context_.get());
    if (!tls.root_certificates.empty()) {
      const Owned<BIO> bio = Text(tls.root_certificates);
      while (const Owned<X509> root{PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr)}) {
        X509_STORE_add_cert(store, root.get());
      }
    } else if (const char* file = ::getenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"); file != nullptr && *file != '\0') {
      SSL_CTX_load_verify_locations(context_.get(), file, nullptr);
    } else {
      SSL_CTX_set_default_verify_paths(context_.get());
    }
    // As gRPC does: a root may be an authority in the middle of a chain.
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    if (!tls.client_certificate.empty()) {
      const Owned<BIO> certificate_bio = Text(tls.client_certificate);
      const Owned<BIO> key_bio = Text(tls.client_key);
      client_certificate_.reset(PEM_read_bio_X509_AUX(certificate_bio.get(), nullptr, nullptr, nullptr));
      const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
      if (client_certificate_ != nullptr && key != nullptr) {
        SSL_CTX_use_certificate(context_.get(), client_certificate_.get());
        while (const Owned<X509> link{PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr)}) {
          SSL_CTX_add1_chain_cert(context_.get(), link.get());
        }
        SSL_CTX_use_PrivateKey(context_.get(), key.get());
      }
    }
    SSL_CTX_set_cert_cb(
        context_.get(),
        [](SSL*, void* probe) {
          static_cast<Probe*>(probe)->asked_for_certificate_ = true;
          return 1;
        },
        this);
    ERR_clear_error();
  }

  absl::Status ServerCertificate(SSL* ssl, const std::string& name) const {
    const Owned<X509> certificate(SSL_get1_peer_certificate(ssl));
    const long verdict = SSL_get_verify_result(ssl);
    if (certificate == nullptr || verdict == X509_V_OK) return absl::OkStatus();
    const CertificateInfo info = DescribeCertificate(certificate.get());
    switch (verdict) {
      case X509_V_ERR_CERT_HAS_EXPIRED:
        if (info.not_after < absl::Now()) {
          return Failed("TLS_EXPIRED",
                        absl::StrCat("the daemon's certificate (", info.subject, ") expired on ", Day(info.not_after),
                                     ". Renew it (cairnd takes up the new file by itself)"));
        }
        return Failed("TLS_EXPIRED",
                      "an authority above the daemon's certificate has expired. Renew it, and what it issued");
      case X509_V_ERR_CERT_NOT_YET_VALID:
        return Failed("TLS_EXPIRED",
                      absl::StrCat("the daemon's certificate (", info.subject, ") is valid from ", Day(info.not_before),
                                   " on, and here it is ", Day(absl::Now()), ". Is the clock of this machine right?"));
      case X509_V_ERR_HOSTNAME_MISMATCH:
      case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return Failed("TLS_WRONG_NAME",
                      absl::StrCat("the daemon's certificate is not for ", name, " but for ",
                                   info.names.empty() ? info.subject : absl::StrJoin(info.names, ", "),
                                   ". Connect by one of these names, or have a certificate made with ", name,
                                   " among its subject alternative names"));
      default:
        return Failed("TLS_UNKNOWN_AUTHORITY",
                      absl::StrCat("the daemon's certificate (", info.subject,
                                   ") cannot be verified: ", X509_verify_cert_error_string(verdict), ". Does ",
                                   options_.tls->root_certificates.empty()
                                       ? "the system know its authority? If it is one of your own, name its "
                                         "certificate (--tls-ca FILE; in Python tls=cairn.Tls(ca=...))"
                                       : "the file of authorities (tls-ca) hold the one that issued it?"));
    }
  }

  absl::Status ClientCertificate(int error) const {
    const auto failed = [&](const std::string& what) {
      return Failed(absl::StatusCode::kUnauthenticated, "TLS_CLIENT_CERTIFICATE", what);
    };
    if (client_certificate_ == nullptr) {
      return failed(
          "the daemon wants a certificate of the client (mutual TLS), and none was given. Give one with its key "
          "(--tls-cert "
          "and --tls-key; in Python tls=cairn.Tls(cert=..., key=...)), of an authority in the daemon's tls_client_ca");
    }
    const CertificateInfo info = DescribeCertificate(client_certificate_.get());
    const std::string refused =
        absl::StrCat("the daemon does not accept the client's certificate (", info.subject, ")");
    if (info.not_after < absl::Now())
      return failed(absl::StrCat(refused, ": it expired on ", Day(info.not_after), ". Renew it"));
    // The peer need not say why, and gRPC 1.51 does not.
    const std::string said = error > kAlerts ? absl::StrCat(": ", SSL_alert_desc_string_long(error - kAlerts)) : "";
    return failed(absl::StrCat(refused, said, ". Is it of an authority in the daemon's tls_client_ca?"));
  }

  const std::string target_;
  const Options& options_;
  Socket socket_;
  const Owned<SSL_CTX> context_;
  Owned<X509> client_certificate_;
  bool asked_for_certificate_ = false;
};

}  // namespace

absl::Status ProbeTls(absl::string_view target, const Options& options, const std::function<bool()>& cancelled) {
  if (IsUnixTarget(target)) return absl::OkStatus();
  return Probe(target, options, cancelled).Run();
}

}  // namespace cairn::client
