// What saves with a parent, and loads of what they stored, cost the daemon's engine: processor time of this process per
// gigabyte of the checkpoint, without wire and fsync, over a folder whose files are in the page cache. Prints a table.
//
//   delta_storage_benchmark [FOLDER [MIB [ROUNDS]]]
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "server/engine/checkpoint_engine.h"
#include "server/engine/extent_chain.h"
#include "server/registry/sqlite_registry.h"
#include "server/store/local_object_store.h"

namespace cairn {
namespace {

template <class T>
T Must(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  std::exit(1);
}
void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

double ProcessorSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

constexpr size_t kTensorBytes = 16u << 20;

// Normally distributed bfloat16.
std::string Weights(size_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::string out(bytes, '\0');
  for (size_t at = 0; at < bytes; at += 2) {
    const float value = normal(random);
    std::memcpy(&out[at], reinterpret_cast<const char*>(&value) + 2, 2);
  }
  return out;
}

void ChangeOnePercent(uint64_t seed, std::string& weights) {
  std::mt19937_64 random(seed);
  const size_t count = weights.size() / 2;
  for (size_t i = 0; i < count / 100; ++i) {
    const size_t at = random() % count * 2;
    weights[at] = static_cast<char>(weights[at] ^ (1 + random() % 7));
  }
}

class Run {
 public:
  Run(const std::string& folder, size_t bytes) : bytes_(bytes / kTensorBytes * kTensorBytes) {
    engine_ = std::make_unique<CheckpointEngine>(
        Must(OpenLocalObjectStore({.root = folder, .durable = false})),
        Must(OpenSqliteRegistry({.path = absl::StrCat(folder, "/registry.db"), .durable = false})), Clock::Real(), EngineOptions());
  }

  CheckpointRow Save(const std::string& what, const std::string& name, int64_t step, const std::string& parent,
                     const std::string& weights) {
    SessionSpec spec;
    spec.name = name;
    spec.step = step;
    spec.parent = parent;
    spec.client_key = absl::StrCat(name, step);
    const Session session = Must(engine_->BeginSave(spec));
    const auto owner = std::make_shared<const std::string>();
    const CheckpointRow row = Measured(absl::StrCat("save, ", what), [&] {
      const std::unique_ptr<Upload> upload = Must(engine_->OpenUpload(session.id, 0));
      for (size_t at = 0; at < bytes_; at += kTensorBytes) {
        const Entry entry = Entry::Tensor(KeyPath::Of({absl::StrCat("w", at)}), Dtype::kBfloat16, {kTensorBytes / 2}, kTensorBytes);
        Must(upload->Declare(entry, std::nullopt, 0));
        for (size_t offset = 0; offset < kTensorBytes; offset += 1u << 20) {
          Must(upload->Append(offset, {Buffer(absl::string_view(weights).substr(at + offset, 1u << 20), owner)}));
        }
        Must(upload->FinishEntry());
      }
      Must(upload->Flush());
      Must(engine_->FinishWriter(session.id, 0));
      return Must(engine_->CommitSave(session.id));
    });
    stored_[absl::StrCat("save, ", what)] = static_cast<double>(row.new_bytes) / static_cast<double>(bytes_);
    return row;
  }

  void Load(const std::string& what, const std::string& ref) {
    for (int warm = 0; warm < 2; ++warm) {  // The first brings the files into the page cache.
      const auto load = [&] {
        const std::unique_ptr<Download> download = Must(engine_->OpenDownload(*Ref::Parse(ref), {}));
        while (Must(download->Next()).has_value()) {
        }
        return 0;
      };
      if (warm == 0) {
        load();
      } else {
        Measured(absl::StrCat("load, ", what), load);
      }
    }
  }

  uint32_t Depth(const std::string& ref) {
    const std::shared_ptr<const OpenCheckpoint> open = Must(engine_->Open(*Ref::Parse(ref)));
    uint32_t depth = 0;
    for (const StoredEntry& stored : open->manifest->entries) {
      for (const Extent& extent : stored.shards[0].extents) depth = std::max(depth, ChainDepth(*open->manifest, extent));
    }
    return depth;
  }

  void Collect(const std::string& name) {
    for (const CheckpointRow& row : Must(engine_->ListCheckpoints({.name = name}, "", 0, 1000))) {
      Must(engine_->DeleteCheckpoint(*Ref::Parse(absl::StrCat("uid:", row.uid))));
    }
    Must(engine_->CollectGarbage(false, Cancellation(), [](const GarbageReport&) {}));
  }

  void Print() const {
    std::printf("| | processor s/GB, best of all rounds | bytes on disk |\n|---|---|---|\n");
    for (const std::string& what : order_) {
      const auto stored = stored_.find(what);
      std::printf("| %s | %.2f | %s |\n", what.c_str(), cost_.at(what),
                  stored == stored_.end() ? "" : absl::StrCat(100 * stored->second, " %").c_str());
    }
  }

  size_t bytes() const { return bytes_; }

 private:
  template <class Function>
  std::invoke_result_t<const Function&> Measured(const std::string& what, const Function& function) {
    const double before = ProcessorSeconds();
    auto result = function();
    const double cost = (ProcessorSeconds() - before) / static_cast<double>(bytes_) * 1e9;
    const auto [found, is_new] = cost_.try_emplace(what, cost);
    if (is_new) order_.push_back(what);
    found->second = std::min(found->second, cost);
    return result;
  }

  const size_t bytes_;
  std::unique_ptr<CheckpointEngine> engine_;
  std::map<std::string, double> cost_, stored_;
  std::vector<std::string> order_;
};

void Main(const std::string& folder, size_t mib, int rounds) {
  Run run(folder, mib << 20);
  for (int round = 0; round < rounds; ++round) {
    const std::string name = absl::StrCat("run", round);
    const auto seed = static_cast<uint64_t>(round) * 1000;
    std::string weights = Weights(run.bytes(), seed);
    const auto ref = [&](int64_t step) { return absl::StrCat(name, "@", step); };
    run.Save("no parent", name, 0, "", weights);
    run.Load("as it is", ref(0));
    run.Save("parent, nothing changed", name, 100, ref(0), weights);
    for (int64_t step = 1; step <= 9; ++step) {
      ChangeOnePercent(seed + static_cast<uint64_t>(step), weights);
      run.Save(step == 1   ? "parent, 1 % changed"
               : step == 8 ? "parent at depth 7, 1 % changed"
               : step == 9 ? "parent at depth 8, 1 % changed (against the bottom)"
                           : "parent at other depths, 1 % changed",
               name, step, ref(step - 1), weights);
      if (step == 1 || step == 4 || step == 8) run.Load(absl::StrCat("depth ", run.Depth(ref(step))), ref(step));
      if (step == 8) run.Save("parent at depth 8, nothing changed", name, 101, ref(step), weights);
    }
    run.Save("parent, unrelated", name, 200, ref(0), Weights(run.bytes(), seed + 500));
    run.Load("planes without a base", ref(200));
    run.Collect(name);
  }
  run.Print();
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  char made[] = "/tmp/cairn-deltas-XXXXXX";
  const std::string folder = argc > 1 ? argv[1] : ::mkdtemp(made);
  cairn::Main(folder, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 256, argc > 3 ? std::atoi(argv[3]) : 3);
  return 0;
}
