#include "server/app/tls_files.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "common/tls/pem.h"
#include "server/app/logging.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxPemBytes = uint64_t{4} << 20;  // A bundle of all public authorities is a quarter of a MiB.
constexpr absl::Duration kWarnBefore = absl::Hours(14 * 24);
constexpr absl::Duration kWarnEvery = absl::Hours(24);

std::string Source(absl::string_view option, const std::string& path) { return absl::StrCat(option, " ", path); }

absl::StatusOr<std::string> ReadPem(absl::string_view option, const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxPemBytes);
  if (!text.ok()) return Annotate(text.status(), option);
  return text;
}

LogField Until(absl::Time not_after) {
  return {"not_after", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", not_after, absl::UTCTimeZone())};
}

}  // namespace

TlsFiles::TlsFiles(const DaemonOptions& options)
    : certificate_path_(options.tls_cert), key_path_(options.tls_key), client_ca_path_(options.tls_client_ca) {}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Load(const DaemonOptions& options) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(options));
  absl::MutexLock lock(&files->mu_);
  // Before the reading: what changes meanwhile is seen by the next look.
  files->fingerprint_ = files->Fingerprint();
  CAIRN_ASSIGN_OR_RETURN(files->set_, files->Read(1));
  return files;
}

absl::StatusOr<std::shared_ptr<const TlsFiles::Set>> TlsFiles::Read(int64_t generation) const {
  auto set = std::make_shared<Set>();
  set->generation = generation;
  CAIRN_ASSIGN_OR_RETURN(set->certificate, ReadPem("tls_cert", certificate_path_));
  CAIRN_ASSIGN_OR_RETURN(set->key, ReadPem("tls_key", key_path_));
  const std::string certificate_source = Source("tls_cert", certificate_path_);
  CAIRN_ASSIGN_OR_RETURN(const std::vector<CertificateInfo> chain,
                         ParseCertificates(set->certificate, certificate_source));
  CAIRN_RETURN_IF_ERROR(CheckKeyPair(set->certificate, certificate_source, set->key, Source("tls_key", key_path_)));
  set->not_after = chain.front().not_after;
  if (!client_ca_path_.empty()) {
    CAIRN_ASSIGN_OR_RETURN(set->client_ca, ReadPem("tls_client_ca", client_ca_path_));
    CAIRN_RETURN_IF_ERROR(ParseCertificates(set->client_ca, Source("tls_client_ca", client_ca_path_)).status());
  }
  return set;
}

std::string TlsFiles::Fingerprint() const {
  std::string text;
  for (const std::string& path : {certificate_path_, key_path_, client_ca_path_}) {
    struct stat info;
    // Through links: a Kubernetes secret is replaced by pointing a link elsewhere.
    if (path.empty() || ::stat(path.c_str(), &info) != 0) {
      absl::StrAppend(&text, "none;");
      continue;
    }
    absl::StrAppend(&text, info.st_dev, ",", info.st_ino, ",", info.st_size, ",", info.st_mtim.tv_sec, ".",
                    info.st_mtim.tv_nsec, ",", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec, ";");
  }
  return text;
}

std::shared_ptr<const TlsFiles::Set> TlsFiles::Current() {
  absl::MutexLock lock(&mu_);
  std::string fingerprint = Fingerprint();
  if (fingerprint == fingerprint_) return set_;
  fingerprint_ = std::move(fingerprint);
  absl::StatusOr<std::shared_ptr<const Set>> fresh = Read(set_->generation + 1);
  if (!fresh.ok()) {
    Log(LogLevel::kWarning, "changed tls files cannot be used, those before stay in force",
        {{"error", std::string(fresh.status().message())}, Until(set_->not_after)});
    return set_;
  }
  if ((*fresh)->certificate != set_->certificate || (*fresh)->key != set_->key ||
      (*fresh)->client_ca != set_->client_ca) {
    set_ = *std::move(fresh);
    next_warning_ = absl::InfinitePast();
    Log(LogLevel::kInfo, "tls files reloaded", {{"tls_cert", certificate_path_}, Until(set_->not_after)});
  }
  return set_;
}

void TlsFiles::Maintain(absl::Time now) {
  const std::shared_ptr<const Set> set = Current();
  absl::MutexLock lock(&mu_);
  if (now + kWarnBefore < set->not_after || now < next_warning_) return;
  next_warning_ = now + kWarnEvery;
  Log(LogLevel::kWarning,
      now < set->not_after ? "the tls certificate ends soon" : "the tls certificate has expired: clients refuse it",
      {{"tls_cert", certificate_path_}, Until(set->not_after)});
}

void TlsFiles::LogInForce() {
  const std::shared_ptr<const Set> set = Current();
  const absl::StatusOr<std::vector<CertificateInfo>> chain = ParseCertificates(set->certificate, "tls_cert");
  Log(LogLevel::kInfo, "tls",
      {{"tls_cert", certificate_path_},
       {"subject", chain.ok() ? chain->front().subject : ""},
       {"names", chain.ok() ? absl::StrJoin(chain->front().names, ",") : ""},
       Until(set->not_after),
       {"client_certificates", set->client_ca.empty() ? "not asked for" : "required"}});
  struct stat info;
  if (::stat(key_path_.c_str(), &info) == 0 && (info.st_mode & S_IROTH) != 0) {
    Log(LogLevel::kWarning, "every user of this machine may read the private key; take the right away (chmod o-r)",
        {{"tls_key", key_path_}});
  }
}

}  // namespace cairn
