#include "server/app/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>

#include <string>
#include <vector>

namespace cairn {
namespace {

// gRPC's own watcher of files (grpc::experimental::FileWatcherCertificateProvider of 1.51) is not used: it takes
// certificate and key as it finds them, so that between the two writes of a replacement, or after a bad one, nobody can
// connect any more. gRPC's C interface asks for the certificate at each handshake instead, and keeps the one before if
// there is none.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  explicit TlsCredentials(TlsFiles& files) : files_(files) {}

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {
    GPR_ASSERT(false && "not supported: nobody in cairnd reads credentials of calls");
  }

 private:
  // What one listener was given last. gRPC asks for each listener apart.
  struct Listener {
    TlsFiles& files;
    int64_t generation = 0;
  };

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    Listener& listener = *listeners_.emplace_back(new Listener{files_});
    grpc_server_credentials* const credentials =
        grpc_ssl_server_credentials_create_with_options(grpc_ssl_server_credentials_create_options_using_config_fetcher(
            files_.Current()->client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
            &Fetch, &listener));
    const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  // gRPC calls it under a lock of the listener's.
  static grpc_ssl_certificate_config_reload_status Fetch(void* user_data, grpc_ssl_server_certificate_config** config) {
    Listener& listener = *static_cast<Listener*>(user_data);
    const std::shared_ptr<const TlsFiles::Set> set = listener.files.Current();
    if (set->generation == listener.generation) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    listener.generation = set->generation;
    const grpc_ssl_pem_key_cert_pair pair = {set->key.c_str(), set->certificate.c_str()};
    // gRPC insists on roots even where no certificate is asked for: then they verify nobody.
    const std::string& roots = set->client_ca.empty() ? set->certificate : set->client_ca;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  TlsFiles& files_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(TlsFiles& files) {
  return std::make_shared<TlsCredentials>(files);
}

}  // namespace cairn
