// A daemon from before Diff and Recover: passes on to a real one what diffs that are computed by the client need, and knows nothing
// else. Usage: old_daemon LISTEN TARGET; says "serving" once it does, and ends with its standard input.
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace {

namespace v1 = cairn::v1;

class OldDaemon final : public v1::CheckpointService::Service {
 public:
  explicit OldDaemon(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::CheckpointService::NewStub(grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
  }

#define PASS_ON(method, Request, Response)                                                                          \
  grpc::Status method(grpc::ServerContext*, const v1::Request* request, v1::Response* response) override {          \
    grpc::ClientContext context;                                                                                    \
    return stub_->method(&context, *request, response);                                                             \
  }
  PASS_ON(BeginSave, BeginSaveRequest, BeginSaveResponse)
  PASS_ON(GetSaveStatus, GetSaveStatusRequest, GetSaveStatusResponse)
  PASS_ON(FinishWriter, FinishWriterRequest, FinishWriterResponse)
  PASS_ON(CommitSave, CommitSaveRequest, CommitSaveResponse)
  PASS_ON(AbortSave, AbortSaveRequest, AbortSaveResponse)
  PASS_ON(GetCheckpoint, GetCheckpointRequest, Checkpoint)
  PASS_ON(ListEntries, ListEntriesRequest, ListEntriesResponse)
  PASS_ON(GetServerInfo, GetServerInfoRequest, GetServerInfoResponse)  // Every daemon ever had it.
#undef PASS_ON

  grpc::Status GetTensor(grpc::ServerContext*, const v1::GetTensorRequest* request,
                         grpc::ServerWriter<v1::GetTensorResponse>* writer) override {
    grpc::ClientContext context;
    const auto reader = stub_->GetTensor(&context, *request);
    v1::GetTensorResponse response;
    while (reader->Read(&response)) {
      if (!writer->Write(response)) context.TryCancel();
    }
    return reader->Finish();
  }

  grpc::Status PutTensor(grpc::ServerContext*,
                         grpc::ServerReaderWriter<v1::PutTensorResponse, v1::PutTensorRequest>* stream) override {
    grpc::ClientContext context;
    const auto target = stub_->PutTensor(&context);
    std::thread answers([&] {
      v1::PutTensorResponse response;
      while (target->Read(&response)) stream->Write(response);
    });
    v1::PutTensorRequest request;
    while (stream->Read(&request)) target->Write(request);
    target->WritesDone();
    answers.join();
    return target->Finish();
  }

 private:
  std::unique_ptr<v1::CheckpointService::Stub> stub_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  OldDaemon daemon(argv[2]);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials());
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&daemon);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::cout << "serving" << std::endl;
  std::cin.get();
  server->Shutdown();
}
