#include "cairn/client.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/mock_connection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::client {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ByMove;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::InSequence;
using ::testing::Return;

OpenedSave Opened(SessionState state = SessionState::kOpen) {
  OpenedSave save;
  save.session.session_id = "id";
  save.session.name = "run";
  save.session.step = 4;
  save.session.state = state;
  save.max_chunk_bytes = 4096;
  save.extent_bytes = 1024;
  return save;
}

CheckpointInfo Info(const std::string& uid) {
  CheckpointInfo info;
  info.uid = uid;
  info.name = "run";
  return info;
}

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() : connection_(std::make_shared<::testing::StrictMock<MockConnection>>()), client_(connection_) {}

  std::shared_ptr<::testing::StrictMock<MockConnection>> connection_;
  Client client_;
};

TEST_F(ClientTest, SavesWithOneStreamAndCommits) {
  auto stream = std::make_unique<::testing::StrictMock<MockPutStream>>();
  {
    InSequence order;
    EXPECT_CALL(*connection_, BeginSave(Field(&SaveSpec::name, "run"))).WillOnce(Return(Opened()));
    EXPECT_CALL(*stream, Put(_, _, _)).WillOnce(Return(absl::OkStatus()));
    EXPECT_CALL(*stream, Finish()).WillOnce(Return(absl::OkStatus()));
    EXPECT_CALL(*connection_, FinishWriter("id", 2)).WillOnce(Return(Opened().session));
    EXPECT_CALL(*connection_, CommitSave("id")).WillOnce(Return(Info("u")));
  }
  EXPECT_CALL(*connection_, OpenPut(AllOf(Field(&PutSpec::session_id, "id"), Field(&PutSpec::writer, 2u),
                                          Field(&PutSpec::max_chunk_bytes, 4096u),
                                          Field(&PutSpec::extent_bytes, 1024u), Field(&PutSpec::name, "run@4"))))
      .WillOnce(Return(ByMove(std::move(stream))));
  SaveSpec spec;
  spec.name = "run";
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto save, client_.Save(spec, 2));
  CAIRN_ASSERT_OK(save->Put(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(4))));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointInfo checkpoint, save->Commit());
  EXPECT_EQ(checkpoint.uid, "u");
  CAIRN_EXPECT_OK(save->Commit()) << "once more does no harm";
}

TEST_F(ClientTest, SendsNothingForASessionThatIsCommittedAlready) {
  OpenedSave save = Opened(SessionState::kCommitted);
  save.session.checkpoint = Info("u");
  EXPECT_CALL(*connection_, BeginSave(_)).WillOnce(Return(save));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, client_.Save({}));
  CAIRN_EXPECT_OK(writer->Put(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(4))));
  CAIRN_EXPECT_OK(writer->StartEntry(Entry::Asset(KeyPath::Of({"f"}), 1)));
  CAIRN_EXPECT_OK(writer->Append("x"));
  CAIRN_EXPECT_OK(writer->FinishEntry());
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointInfo checkpoint, writer->Commit());
  EXPECT_EQ(checkpoint.uid, "u");
}

TEST_F(ClientTest, SendsNothingForAWriterThatHasFinishedAlready) {
  OpenedSave save = Opened();
  save.session.finished_writers = {1, 3};
  EXPECT_CALL(*connection_, BeginSave(_)).WillOnce(Return(save));
  EXPECT_CALL(*connection_, FinishWriter("id", 3)).WillOnce(Return(save.session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, client_.Save({}, 3));
  CAIRN_EXPECT_OK(writer->Put(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(4))));
  CAIRN_EXPECT_OK(writer->Finish());
}

TEST_F(ClientTest, FinishThatFailsMayBeTriedAgain) {
  auto stream = std::make_unique<::testing::StrictMock<MockPutStream>>();
  EXPECT_CALL(*stream, Finish()).WillOnce(Return(absl::OkStatus()));
  EXPECT_CALL(*connection_, BeginSave(_)).WillOnce(Return(Opened()));
  EXPECT_CALL(*connection_, OpenPut(_)).WillOnce(Return(ByMove(std::move(stream))));
  EXPECT_CALL(*connection_, FinishWriter("id", 0))
      .WillOnce(Return(absl::UnavailableError("gone")))
      .WillOnce(Return(Opened().session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, client_.Save({}));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kUnavailable));
  CAIRN_EXPECT_OK(writer->Finish());
}

TEST_F(ClientTest, AbortCancelsTheStreamFirst) {
  auto stream = std::make_unique<::testing::StrictMock<MockPutStream>>();
  {
    InSequence order;
    EXPECT_CALL(*stream, Cancel());
    EXPECT_CALL(*connection_, AbortSave("id")).WillOnce(Return(absl::OkStatus()));
  }
  EXPECT_CALL(*connection_, BeginSave(_)).WillOnce(Return(Opened()));
  EXPECT_CALL(*connection_, OpenPut(_)).WillOnce(Return(ByMove(std::move(stream))));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, client_.Save({}));
  CAIRN_EXPECT_OK(writer->Abort());
}

TEST_F(ClientTest, ListsAllPages) {
  CheckpointPage first{{Info("a"), Info("b")}, "next"};
  CheckpointPage second{{Info("c")}, ""};
  EXPECT_CALL(*connection_, ListCheckpoints(Field(&ListCheckpointsSpec::page_token, ""))).WillOnce(Return(first));
  EXPECT_CALL(*connection_, ListCheckpoints(Field(&ListCheckpointsSpec::page_token, "next"))).WillOnce(Return(second));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<CheckpointInfo> all, client_.ListCheckpoints());
  EXPECT_THAT(all, ElementsAre(Field(&CheckpointInfo::uid, "a"), Field(&CheckpointInfo::uid, "b"),
                               Field(&CheckpointInfo::uid, "c")));
}

TEST_F(ClientTest, ListsEntriesOfOneCheckpointOverAllPages) {
  EntryPage first{Info("u"), {{}, {}}, "next"};
  EntryPage second{Info("u"), {{}}, ""};
  EXPECT_CALL(*connection_, ListEntries(Field(&ListEntriesSpec::ref, "run"))).WillOnce(Return(first));
  EXPECT_CALL(*connection_, ListEntries(AllOf(Field(&ListEntriesSpec::ref, "uid:u"),
                                              Field(&ListEntriesSpec::page_token, "next"))))
      .WillOnce(Return(second));
  ListEntriesSpec spec;
  spec.ref = "run";
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<EntryInfo> all, client_.ListEntries(spec));
  EXPECT_EQ(all.size(), 3u);
}

}  // namespace
}  // namespace cairn::client
