#include "common/tls/certificate_info.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/x509v3.h>
#include <time.h>

#include <memory>

namespace cairn {
namespace {

std::string NameText(X509_NAME* name) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  // One line, every byte that could disturb a log or a terminal escaped.
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

absl::Time TimeOf(const ASN1_TIME* time, absl::Time otherwise) {
  tm parts = {};
  return time != nullptr && ASN1_TIME_to_tm(time, &parts) == 1 ? absl::FromTimeT(::timegm(&parts)) : otherwise;
}

std::string AddressText(const ASN1_OCTET_STRING* address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int length = ASN1_STRING_length(address);
  if (length == 4 || length == 16) {
    ::inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(address), text, sizeof(text));
  }
  return text;
}

std::string DnsText(const ASN1_STRING* name) {
  std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
                   static_cast<size_t>(ASN1_STRING_length(name)));
  for (char& c : text) {
    if (c < 0x21 || c > 0x7e) c = '?';
  }
  return text;
}

}  // namespace

CertificateInfo DescribeCertificate(X509* certificate) {
  CertificateInfo info;
  info.subject = NameText(X509_get_subject_name(certificate));
  info.not_before = TimeOf(X509_get0_notBefore(certificate), absl::InfinitePast());
  info.not_after = TimeOf(X509_get0_notAfter(certificate), absl::InfiniteFuture());
  const std::unique_ptr<GENERAL_NAMES, decltype(&GENERAL_NAMES_free)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) info.names.push_back(DnsText(name->d.dNSName));
    if (name->type == GEN_IPADD) info.names.push_back(AddressText(name->d.iPAddress));
  }
  return info;
}

}  // namespace cairn
