#include "common/net/s3_xml.h"

#include <pugixml.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

// Neither entities of the document's own nor anything outside of it: the library knows the five of XML.
bool Load(absl::string_view xml, pugi::xml_document* document) {
  return static_cast<bool>(document->load_buffer(xml.data(), xml.size(), pugi::parse_default));
}

absl::Status Unexpected(absl::string_view expected) {
  return absl::FailedPreconditionError(absl::StrCat("the server's answer is no ", expected, "; is it one that speaks S3?"));
}

}  // namespace

S3Error ParseS3Error(absl::string_view xml) {
  pugi::xml_document document;
  S3Error error;
  if (xml.empty() || !Load(xml, &document)) return error;
  const pugi::xml_node root = document.child("Error");
  error.code = root.child_value("Code");
  error.message = root.child_value("Message");
  error.region = root.child_value("Region");
  return error;
}

absl::StatusOr<S3Listing> ParseS3Listing(absl::string_view xml) {
  pugi::xml_document document;
  if (!Load(xml, &document) || !document.child("ListBucketResult")) return Unexpected("listing (ListBucketResult)");
  const pugi::xml_node root = document.child("ListBucketResult");
  S3Listing listing;
  for (const pugi::xml_node& node : root.children("Contents")) listing.keys.emplace_back(node.child_value("Key"));
  for (const pugi::xml_node& node : root.children("CommonPrefixes")) listing.prefixes.emplace_back(node.child_value("Prefix"));
  if (root.child("IsTruncated").text().as_bool()) {
    listing.next = root.child_value("NextContinuationToken");
    if (listing.next.empty()) return Unexpected("listing with a token for its rest");
  }
  return listing;
}

absl::StatusOr<std::string> ParseS3UploadId(absl::string_view xml) {
  pugi::xml_document document;
  const bool loaded = Load(xml, &document);
  std::string id = loaded ? document.child("InitiateMultipartUploadResult").child_value("UploadId") : "";
  if (id.empty()) return Unexpected("begin of an upload (InitiateMultipartUploadResult)");
  return id;
}

std::string MakeS3Completion(const std::vector<std::string>& etags) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (size_t i = 0; i < etags.size(); ++i) {
    // An ETag is the server's; what could leave the element is left out.
    std::string etag;
    for (const char c : etags[i]) {
      if (c != '<' && c != '>' && c != '&') etag.push_back(c);
    }
    absl::StrAppend(&xml, "<Part><PartNumber>", i + 1, "</PartNumber><ETag>", etag, "</ETag></Part>");
  }
  return absl::StrCat(xml, "</CompleteMultipartUpload>");
}

bool IsS3Completion(absl::string_view xml) {
  pugi::xml_document document;
  return Load(xml, &document) && document.child("CompleteMultipartUploadResult");
}

}  // namespace cairn
