#pragma once

#include <openssl/x509.h>

#include "common/tls/pem.h"

namespace cairn {

// What the certificate says. For those that have one of OpenSSL's in their hands; everybody else takes pem.h.
CertificateInfo DescribeCertificate(X509* certificate);

}  // namespace cairn
