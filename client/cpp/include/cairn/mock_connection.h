#pragma once

#include "cairn/connection.h"
#include "gmock/gmock.h"

// For tests of code that uses a Client. Needs GoogleMock; nothing else of the library does.
namespace cairn::client {

class MockConnection : public Connection {
 public:
  MOCK_METHOD(absl::StatusOr<OpenedSave>, BeginSave, (const SaveSpec&), (override));
  MOCK_METHOD(absl::StatusOr<std::unique_ptr<PutStream>>, OpenPut, (const PutSpec&), (override));
  MOCK_METHOD(absl::StatusOr<SaveStatus>, GetSaveStatus, (const SaveStatusSpec&), (override));
  MOCK_METHOD(absl::StatusOr<SaveSession>, FinishWriter, (const std::string&, uint32_t), (override));
  MOCK_METHOD(absl::StatusOr<CheckpointInfo>, CommitSave, (const std::string&), (override));
  MOCK_METHOD(absl::Status, AbortSave, (const std::string&), (override));
  MOCK_METHOD(absl::StatusOr<std::unique_ptr<GetStream>>, OpenGet, (const GetSpec&), (override));
  MOCK_METHOD(absl::StatusOr<CheckpointInfo>, GetCheckpoint, (const std::string&), (override));
  MOCK_METHOD(absl::StatusOr<CheckpointPage>, ListCheckpoints, (const ListCheckpointsSpec&), (override));
  MOCK_METHOD(absl::StatusOr<EntryPage>, ListEntries, (const ListEntriesSpec&), (override));
  MOCK_METHOD(absl::StatusOr<std::optional<CheckpointInfo>>, DeleteCheckpoint, (const DeleteSpec&), (override));
  MOCK_METHOD(absl::StatusOr<CheckpointInfo>, SetTag, (const SetTagSpec&), (override));
  MOCK_METHOD(absl::Status, DeleteTag, (const DeleteTagSpec&), (override));
  MOCK_METHOD(absl::StatusOr<VerifyResult>, Verify, (const std::string&, const VerifyCallback&), (override));
  MOCK_METHOD(absl::StatusOr<ConversionResult>, Convert, (const ConvertSpec&, const ConvertCallback&), (override));
  MOCK_METHOD(absl::StatusOr<ConversionResult>, Export, (const ConvertSpec&, ExportTarget&, const ConvertCallback&), (override));
  MOCK_METHOD(absl::StatusOr<ConversionResult>, Import, (const ConvertSpec&, ImportSource&, const ConvertCallback&), (override));
  MOCK_METHOD(absl::StatusOr<DiffResult>, Diff, (const DiffSpec&, const DiffCallback&), (override));
  MOCK_METHOD(absl::StatusOr<RecoverResult>, Recover, (const RecoverSpec&, const DiffCallback&), (override));
  MOCK_METHOD(absl::StatusOr<GarbageReport>, CollectGarbage, (bool, const GarbageCallback&), (override));
  MOCK_METHOD(absl::StatusOr<ServerInfo>, GetServerInfo, (), (override));
};

class MockPutStream : public PutStream {
 public:
  MOCK_METHOD(absl::Status, Put, (Entry, std::optional<Box>, std::shared_ptr<EntryBytes>), (override));
  MOCK_METHOD(absl::Status, Start, (Entry, std::optional<Box>), (override));
  MOCK_METHOD(absl::Status, Append, (Buffer), (override));
  MOCK_METHOD(absl::Status, FinishEntry, (), (override));
  MOCK_METHOD(absl::Status, Flush, (), (override));
  MOCK_METHOD(absl::Status, Finish, (), (override));
  MOCK_METHOD(void, Cancel, (), (override));
  MOCK_METHOD(PutProgress, progress, (), (const, override));
};

class MockGetStream : public GetStream {
 public:
  MOCK_METHOD(const CheckpointInfo&, checkpoint, (), (const, override));
  MOCK_METHOD(uint64_t, entries, (), (const, override));
  MOCK_METHOD(uint64_t, total_bytes, (), (const, override));
  MOCK_METHOD(uint64_t, bytes_done, (), (const, override));
  MOCK_METHOD(absl::StatusOr<std::optional<GetEntry>>, Next, (), (override));
  MOCK_METHOD(absl::StatusOr<GetChunk>, ReadChunk, (), (override));
  MOCK_METHOD(absl::Status, ReadInto, (absl::Span<char>), (override));
  MOCK_METHOD(void, Cancel, (), (override));
};

}  // namespace cairn::client
