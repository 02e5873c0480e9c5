#include "server/engine/assemble.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

absl::Status Refuse(absl::string_view reason, const KeyPath& path, const std::string& box, std::string message) {
  ErrorInfo info{std::string(reason), {{"path", path.ToString()}}};
  if (!box.empty()) info.metadata["box"] = box;
  return WithErrorInfo(absl::FailedPreconditionError(std::move(message)), info);
}

std::string Named(const Entry& entry) {
  switch (entry.kind) {
    case EntryKind::kTensor:
      return absl::StrCat("tensor \"", entry.path.ToString(), "\"");
    case EntryKind::kAsset:
      return absl::StrCat("asset \"", entry.path.ToString(), "\"");
    default:
      return absl::StrCat("entry \"", entry.path.ToString(), "\"");
  }
}

bool SameDeclaration(const Entry& a, const Entry& b) {
  return a.kind == b.kind && a.dtype == b.dtype && a.shape == b.shape && a.byte_size == b.byte_size &&
         a.value == b.value && a.target == b.target;
}

bool SameBytes(const std::vector<Extent>& a, const std::vector<Extent>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Extent& x, const Extent& y) {
    return x.digest == y.digest && x.raw_bytes == y.raw_bytes;
  });
}

// Proving that boxes tile a tensor may take quadratic time for hostile ones.
constexpr size_t kMaxShards = 65'536;

std::string Describe(const Entry& entry) {
  return absl::StrCat(DtypeName(entry.dtype), " ", ShapeToString(entry.shape));
}

// Assets have a name space of their own: an asset "a" and a tensor "a" do not meet.
std::string EntryKey(const Entry& entry) {
  return absl::StrCat(entry.kind == EntryKind::kAsset ? "asset:" : "entry:", entry.path.ToString());
}

}  // namespace

std::string ShardKey(uint32_t writer, const KeyPath& path, const Box& box, EntryKind kind) {
  return absl::StrCat(writer, kind == EntryKind::kAsset ? "|asset|" : "|", path.ToString(), "|", box.ToString());
}

absl::StatusOr<uint64_t> ShardBytes(const Entry& entry, const Box& box) {
  if (entry.kind == EntryKind::kTensor) return ByteSize(entry.dtype, box.extent);
  return entry.byte_size;  // An asset's length; 0 for the others.
}

uint32_t ManifestAssembler::ObjectIndex(const std::string& key) {
  const auto [it, inserted] = object_index_.try_emplace(key, static_cast<uint32_t>(objects_.size()));
  if (inserted) objects_.push_back(key);
  return it->second;
}

// The parts of a session, and its writers, refer to the same bases again and again.
uint32_t ManifestAssembler::BaseIndex(const Extent& base) {
  const auto [it, inserted] = base_index_.try_emplace(std::make_pair(base.object, base.offset),
                                                      static_cast<uint32_t>(bases_.size() + 1));
  if (inserted) {
    bases_.push_back(base);
    return it->second;
  }
  if (bases_[it->second - 1] == base) return it->second;
  bases_.push_back(base);
  return static_cast<uint32_t>(bases_.size());
}

void ManifestAssembler::Renumber(const Numbers& numbers, Extent& extent) {
  extent.object = numbers.objects[extent.object];
  extent.base = numbers.bases[extent.base];
}

absl::Status ManifestAssembler::AddPiece(Shard& shard, ShardPiece& piece, const Numbers& numbers) {
  if (!SameDeclaration(shard.entry, piece.entry)) {
    return Refuse("ENTRY_CONFLICT", piece.entry.path, "",
                  absl::StrCat(Named(piece.entry), ": writer ", shard.writer, " declared it twice and differently: ",
                               Describe(shard.entry), " and ", Describe(piece.entry)));
  }
  if (piece.start > shard.durable_bytes) {
    return absl::DataLossError(absl::StrCat(Named(piece.entry), ": session record has bytes from ", piece.start,
                                            " on, but those before end at ", shard.durable_bytes));
  }
  // A stream that broke may have made more durable than its client heard of; what came again must be the same.
  uint64_t position = 0;
  size_t known = 0;
  while (known < shard.extents.size() && position < piece.start) position += shard.extents[known++].raw_bytes;
  for (Extent& extent : piece.extents) {
    Renumber(numbers, extent);
    if (known < shard.extents.size()) {
      if (position != piece.start || shard.extents[known].digest != extent.digest) {
        return WithErrorInfo(
            absl::AbortedError(absl::StrCat(Named(piece.entry), ", box ", piece.box.ToString(), ": two streams of writer ",
                                            shard.writer, " sent different bytes at offset ", piece.start)),
            {"WRITER_CONFLICT", {{"path", piece.entry.path.ToString()}, {"box", piece.box.ToString()}}});
      }
      ++known;
    } else {
      shard.extents.push_back(extent);
      shard.durable_bytes += extent.raw_bytes;
      known = shard.extents.size();
    }
    position += extent.raw_bytes;
    piece.start += extent.raw_bytes;
  }
  if (piece.finished) shard.finished = true;
  return absl::OkStatus();
}

absl::Status ManifestAssembler::Add(uint32_t writer, SessionRecord record) {
  Numbers numbers;
  numbers.objects.reserve(record.objects.size());
  for (const std::string& key : record.objects) numbers.objects.push_back(ObjectIndex(key));
  for (Extent base : record.bases) {
    Renumber(numbers, base);
    numbers.bases.push_back(BaseIndex(base));
  }
  for (ShardPiece& piece : record.pieces) {
    const auto [it, inserted] =
        shard_index_.try_emplace(ShardKey(writer, piece.entry.path, piece.box, piece.entry.kind), shards_.size());
    if (inserted) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t total, ShardBytes(piece.entry, piece.box));
      shards_.push_back({writer, piece.entry, piece.box, total});
    }
    CAIRN_RETURN_IF_ERROR(AddPiece(shards_[it->second], piece, numbers));
  }
  return absl::OkStatus();
}

std::vector<std::pair<uint32_t, ShardProgress>> ManifestAssembler::Progress() const {
  std::vector<std::pair<uint32_t, ShardProgress>> progress;
  progress.reserve(shards_.size());
  for (const Shard& shard : shards_) {
    progress.push_back({shard.writer, {shard.entry, shard.box, shard.durable_bytes, shard.total_bytes, shard.finished}});
  }
  return progress;
}

absl::StatusOr<Manifest> ManifestAssembler::Finish(std::map<std::string, std::string> metadata) {
  Manifest manifest;
  manifest.metadata = std::move(metadata);
  manifest.objects = std::move(objects_);
  manifest.bases = std::move(bases_);
  std::vector<Shard> shards = std::move(shards_);
  *this = ManifestAssembler();

  absl::flat_hash_map<std::string, size_t> by_path;
  for (Shard& shard : shards) {
    if (!shard.finished || shard.durable_bytes != shard.total_bytes) {
      return Refuse("SHARD_UNFINISHED", shard.entry.path, shard.box.ToString(),
                    absl::StrCat(Named(shard.entry), ", box ", shard.box.ToString(), " of writer ", shard.writer,
                                 ": not finished, ", shard.durable_bytes, " of ", shard.total_bytes,
                                 " bytes are durable; resume it or abort the session"));
    }
    const auto [it, inserted] = by_path.try_emplace(EntryKey(shard.entry), manifest.entries.size());
    const bool has_bytes = shard.entry.kind == EntryKind::kTensor || shard.entry.kind == EntryKind::kAsset;
    StoredShard stored{shard.box, shard.total_bytes, std::move(shard.extents)};
    if (inserted) {
      manifest.entries.push_back({std::move(shard.entry), {}});
      if (has_bytes) manifest.entries.back().shards.push_back(std::move(stored));
      continue;
    }
    StoredEntry& known = manifest.entries[it->second];
    if (!SameDeclaration(known.entry, shard.entry)) {
      return Refuse("ENTRY_CONFLICT", shard.entry.path, "",
                    absl::StrCat(Named(shard.entry), ": writer ", shard.writer, " declared ", Describe(shard.entry),
                                 ", another writer ", Describe(known.entry), " (or another value)"));
    }
    if (known.entry.kind == EntryKind::kTensor) {
      known.shards.push_back(std::move(stored));
    } else if (known.entry.kind == EntryKind::kAsset && !SameBytes(known.shards[0].extents, stored.extents)) {
      // Several writers may carry the same file, if it is the same.
      return Refuse("ENTRY_CONFLICT", shard.entry.path, "",
                    absl::StrCat(Named(shard.entry), ": writer ", shard.writer, " sent other bytes than another writer"));
    }
  }

  for (const StoredEntry& stored : manifest.entries) {
    const Entry& entry = stored.entry;
    if (entry.kind == EntryKind::kAlias) {
      const auto target = by_path.find(absl::StrCat("entry:", entry.target.ToString()));
      if (target == by_path.end() || manifest.entries[target->second].entry.kind == EntryKind::kAlias) {
        return Refuse("ALIAS_DANGLING", entry.path, "",
                      absl::StrCat(Named(entry), ": alias of \"", entry.target.ToString(),
                                   "\", which is no tensor or value of this checkpoint"));
      }
    }
    if (entry.kind != EntryKind::kTensor) continue;
    if (stored.shards.size() > kMaxShards) {
      return Refuse("TOO_MANY_SHARDS", entry.path, "",
                    absl::StrCat(Named(entry), ": ", stored.shards.size(), " shards, expected at most ", kMaxShards));
    }
    std::vector<Box> boxes;
    boxes.reserve(stored.shards.size());
    for (const StoredShard& shard : stored.shards) boxes.push_back(shard.box);
    const Tiling tiling = CheckTiling(entry.shape, boxes);
    if (tiling.verdict == Tiling::Verdict::kExact) continue;
    const std::string box = tiling.box.ToString();
    if (tiling.verdict == Tiling::Verdict::kHole) {
      return Refuse("TENSOR_HOLE", entry.path, box,
                    absl::StrCat(Named(entry), " of shape ", ShapeToString(entry.shape), ": nobody wrote the box ", box));
    }
    return Refuse("TENSOR_OVERLAP", entry.path, box,
                  absl::StrCat(Named(entry), " of shape ", ShapeToString(entry.shape), ": the box ", box,
                               " was written twice, by the shards ", boxes[tiling.first].ToString(), " and ",
                               boxes[tiling.second].ToString()));
  }
  return manifest;
}

}  // namespace cairn
