#include "server/engine/manifest.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/extent_codec.h"

namespace cairn {
namespace {

constexpr absl::string_view kMagic = "CAIRNMFT";
constexpr size_t kHeaderBytes = 16;  // MANIFEST.md, section "Header".
constexpr size_t kFooterBytes = 32;

absl::Status CheckExtentsFill(const BinaryReader& in, const StoredShard& shard) {
  uint64_t sum = 0;
  for (const Extent& extent : shard.extents) {
    if (extent.raw_bytes == 0) return in.Damaged("extent without bytes");
    sum += extent.raw_bytes;
  }
  if (sum != shard.byte_size) {
    return in.Damaged(absl::StrCat("extents hold ", sum, " bytes of a shard of ", shard.byte_size));
  }
  return absl::OkStatus();
}

// The oldest version that can say it: a checkpoint without deltas is read by daemons that know none.
uint32_t VersionOf(const Manifest& manifest) {
  if (!manifest.bases.empty()) return kVersionWithDeltas;
  for (const StoredEntry& stored : manifest.entries) {
    for (const StoredShard& shard : stored.shards) {
      if (HasDeltas(shard.extents)) return kVersionWithDeltas;
    }
  }
  return kVersionWithoutDeltas;
}

}  // namespace

uint64_t Manifest::MemoryBytes() const {
  uint64_t bytes = sizeof(Manifest) + bases.size() * sizeof(Extent);
  for (const std::string& key : objects) bytes += sizeof(key) + key.size();
  for (const StoredEntry& stored : entries) {
    bytes += sizeof(StoredEntry) + stored.entry.shape.size() * sizeof(int64_t);
    if (stored.entry.kind == EntryKind::kValue) bytes += sizeof(Value) + stored.entry.value->text.size();
    bytes += sizeof(std::vector<KeyPath::Segment>) + stored.entry.path.segments().size() * (sizeof(KeyPath::Segment) + 16);
    for (const StoredShard& shard : stored.shards) {
      bytes += sizeof(StoredShard) + 2 * shard.box.offset.size() * sizeof(int64_t);
      bytes += shard.extents.size() * sizeof(Extent);
    }
  }
  return bytes;
}

std::string EncodeManifest(const Manifest& manifest) {
  std::string bytes(kMagic);
  BinaryWriter out(&bytes);
  const uint32_t version = VersionOf(manifest);
  out.Fixed32(version);
  out.Fixed32(0);  // Flags: none defined.
  out.Varint(manifest.metadata.size());
  for (const auto& [key, value] : manifest.metadata) {
    out.Text(key);
    out.Text(value);
  }
  WriteTexts(manifest.objects, out);
  if (version >= kVersionWithDeltas) WriteExtents(manifest.bases, out);
  out.Varint(manifest.entries.size());
  for (const StoredEntry& stored : manifest.entries) {
    WriteEntry(stored.entry, out);
    if (stored.entry.kind == EntryKind::kTensor) {
      out.Varint(stored.shards.size());
      for (const StoredShard& shard : stored.shards) {
        WriteBox(shard.box, out);
        WriteExtents(shard.extents, out);
      }
    } else if (stored.entry.kind == EntryKind::kAsset) {
      WriteExtents(stored.shards.at(0).extents, out);
    }
  }
  out.Raw(DigestOf(bytes, DigestAlgorithm::kSha256).AsBytes());
  return bytes;
}

absl::StatusOr<Manifest> DecodeManifest(absl::string_view bytes) {
  if (bytes.size() < kHeaderBytes + kFooterBytes || !absl::StartsWith(bytes, kMagic)) {
    return absl::DataLossError("manifest: not a manifest (no CAIRNMFT at its beginning)");
  }
  const absl::string_view body = bytes.substr(0, bytes.size() - kFooterBytes);
  BinaryReader in(body);
  CAIRN_RETURN_IF_ERROR(in.Raw(kMagic.size()).status());
  CAIRN_ASSIGN_OR_RETURN(const uint32_t version, in.Fixed32());
  CAIRN_ASSIGN_OR_RETURN(const uint32_t flags, in.Fixed32());
  if (version < 1 || version > kVersionWithDeltas || flags != 0) {
    return absl::FailedPreconditionError(absl::StrCat("manifest: version ", version, ", flags ", flags,
                                                      "; this program reads versions 1 to ", kVersionWithDeltas,
                                                      " without flags: use a newer cairnd"));
  }
  if (DigestOf(body, DigestAlgorithm::kSha256).AsBytes() != bytes.substr(body.size())) {
    return absl::DataLossError("manifest: its digest does not match its bytes");
  }

  Manifest manifest;
  CAIRN_ASSIGN_OR_RETURN(const uint64_t metadata, in.Count(2));
  for (uint64_t i = 0; i < metadata; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view key, in.Text());
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view value, in.Text());
    manifest.metadata[std::string(key)] = std::string(value);
  }
  CAIRN_ASSIGN_OR_RETURN(manifest.objects, ReadTexts(in));
  ExtentDecoder extents(version, manifest.objects.size());
  CAIRN_ASSIGN_OR_RETURN(manifest.bases, extents.ReadBases(in));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t entries, in.Count(3));
  manifest.entries.reserve(entries);
  for (uint64_t i = 0; i < entries; ++i) {
    StoredEntry stored;
    CAIRN_ASSIGN_OR_RETURN(stored.entry, ReadEntry(in));
    if (stored.entry.kind == EntryKind::kTensor) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t shards, in.Count(1));
      for (uint64_t s = 0; s < shards; ++s) {
        StoredShard shard;
        CAIRN_ASSIGN_OR_RETURN(shard.box, ReadBox(in, stored.entry.shape));
        CAIRN_ASSIGN_OR_RETURN(shard.byte_size, ByteSize(stored.entry.dtype, shard.box.extent));
        CAIRN_ASSIGN_OR_RETURN(shard.extents, extents.Read(in));
        CAIRN_RETURN_IF_ERROR(CheckExtentsFill(in, shard));
        stored.shards.push_back(std::move(shard));
      }
    } else if (stored.entry.kind == EntryKind::kAsset) {
      StoredShard shard;
      shard.byte_size = stored.entry.byte_size;
      CAIRN_ASSIGN_OR_RETURN(shard.extents, extents.Read(in));
      CAIRN_RETURN_IF_ERROR(CheckExtentsFill(in, shard));
      stored.shards.push_back(std::move(shard));
    }
    manifest.entries.push_back(std::move(stored));
  }
  if (in.remaining() != 0) return in.Damaged("bytes after the last entry");
  return manifest;
}

}  // namespace cairn
