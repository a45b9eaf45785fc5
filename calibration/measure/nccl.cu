#include "calibration/measure/nccl.cuh"

#if STEPCAST_NCCL_FOUND

#include <chrono>
#include <cstdio>
#include <thread>

namespace stepcast::measure {

void check_nccl(ncclResult_t status, const char* call) {
  if (status != ncclSuccess) throw DeviceFailure(std::string(call) + ": " + ncclGetErrorString(status));
}

namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { (void)std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// Rank 0 writes the id whole or not at all; the others wait for it.
ncclUniqueId shared_id(const Job& job) {
  ncclUniqueId id;
  if (job.rank == 0) {
    if (const File old{std::fopen(job.id_file.c_str(), "rb")})
      throw DeviceFailure(job.id_file + " is there already: delete it, or name another file with --nccl-id");
    CHECK_NCCL(ncclGetUniqueId(&id));
    const std::string unfinished = job.id_file + ".part";
    File file{std::fopen(unfinished.c_str(), "wb")};
    const bool written = file && std::fwrite(&id, sizeof id, 1, file.get()) == 1 && std::fflush(file.get()) == 0;
    file.reset();
    if (!written || std::rename(unfinished.c_str(), job.id_file.c_str()) != 0)
      throw DeviceFailure("cannot write " + job.id_file);
    return id;
  }
  for (int waited = 0; waited < 600; ++waited) {
    const File file{std::fopen(job.id_file.c_str(), "rb")};
    if (file && std::fread(&id, sizeof id, 1, file.get()) == 1) return id;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  throw DeviceFailure(job.id_file + " did not appear within a minute: do all nodes see the same file system?");
}

}  // namespace

NcclGroup::NcclGroup(const Job& job) {
  int devices = 0;
  CHECK_CUDA(cudaGetDeviceCount(&devices));
  if (job.distributed()) {
    ranks_ = job.ranks;
    Member& member = members_.emplace_back();
    CHECK_CUDA(cudaGetDevice(&member.device));
    member.rank = job.rank;
    member.stream = std::make_unique<Stream>();
    const ncclUniqueId id = shared_id(job);
    CHECK_NCCL(ncclCommInitRank(&member.communicator, job.ranks, id, job.rank));
    agree(0);  // all have read the file
    if (job.rank == 0) (void)std::remove(job.id_file.c_str());
    return;
  }
  ranks_ = devices;
  std::vector<ncclComm_t> communicators(static_cast<std::size_t>(devices));
  CHECK_NCCL(ncclCommInitAll(communicators.data(), devices, nullptr));
  for (int device = 0; device < devices; ++device) {
    Member& member = members_.emplace_back();
    member.device = member.rank = device;
    member.communicator = communicators[static_cast<std::size_t>(device)];
  }
  each([](Member& member) { member.stream = std::make_unique<Stream>(); });
}

NcclGroup::~NcclGroup() {
  for (Member& member : members_) {
    (void)cudaSetDevice(member.device);
    if (member.communicator) (void)ncclCommDestroy(member.communicator);
    member.stream.reset();
    member.send = Buffer();
    member.receive = Buffer();
  }
  if (!members_.empty()) (void)cudaSetDevice(members_.front().device);
}

int NcclGroup::agree(int mine) {
  if (members_.size() == static_cast<std::size_t>(ranks_)) return mine;  // one process
  Member& member = first();
  const Buffer number(sizeof mine);
  CHECK_CUDA(cudaMemcpyAsync(number.at(), &mine, sizeof mine, cudaMemcpyHostToDevice, *member.stream));
  CHECK_NCCL(ncclBroadcast(number.at(), number.at(), 1, ncclInt, 0, member.communicator, *member.stream));
  CHECK_CUDA(cudaMemcpyAsync(&mine, number.at(), sizeof mine, cudaMemcpyDeviceToHost, *member.stream));
  member.stream->synchronize();
  return mine;
}

void NcclGroup::synchronize() const {
  for (const Member& member : members_) member.stream->synchronize();
}

std::string NcclGroup::version() {
  int v = 0;
  CHECK_NCCL(ncclGetVersion(&v));
  return "NCCL " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
}

std::size_t collective_count(const std::string& op, std::int64_t bytes, int ranks) {
  const bool of_a_share = op == "all_gather" || op == "reduce_scatter" || op == "all_to_all";
  return static_cast<std::size_t>(bytes / 4 / (of_a_share ? ranks : 1));
}

void launch_collective(NcclGroup& group, const std::string& op, std::size_t count, bool in_place) {
  const int ranks = group.ranks();
  CHECK_NCCL(ncclGroupStart());
  for (Member& m : group.members()) {
    auto* const receive = m.receive.at<float>();
    const auto* const send = in_place ? receive : m.send.at<float>();
    const cudaStream_t stream = *m.stream;
    if (op == "all_reduce") {
      CHECK_NCCL(ncclAllReduce(send, receive, count, ncclFloat, ncclSum, m.communicator, stream));
    } else if (op == "all_gather") {
      CHECK_NCCL(ncclAllGather(send, receive, count, ncclFloat, m.communicator, stream));
    } else if (op == "reduce_scatter") {
      CHECK_NCCL(ncclReduceScatter(send, receive, count, ncclFloat, ncclSum, m.communicator, stream));
    } else if (op == "broadcast") {
      CHECK_NCCL(ncclBroadcast(send, receive, count, ncclFloat, 0, m.communicator, stream));
    } else if (op == "send_recv") {
      CHECK_NCCL(ncclSend(send, count, ncclFloat, (m.rank + 1) % ranks, m.communicator, stream));
      CHECK_NCCL(ncclRecv(receive, count, ncclFloat, (m.rank + ranks - 1) % ranks, m.communicator, stream));
    } else if (op == "all_to_all") {
      for (int peer = 0; peer < ranks; ++peer) {
        const std::size_t offset = count * static_cast<std::size_t>(peer);
        CHECK_NCCL(ncclSend(send + offset, count, ncclFloat, peer, m.communicator, stream));
        CHECK_NCCL(ncclRecv(receive + offset, count, ncclFloat, peer, m.communicator, stream));
      }
    } else {
      throw Unsupported("no such operation in this program");
    }
  }
  CHECK_NCCL(ncclGroupEnd());
}

}  // namespace stepcast::measure

#endif
