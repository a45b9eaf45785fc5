#pragma once
/// NCCL communicators over all GPUs of the job: all of this process, or one of each process.

#include "calibration/measure/harness.cuh"

#if STEPCAST_NCCL_FOUND

#include <memory>

#include <nccl.h>

namespace stepcast::measure {

void check_nccl(ncclResult_t status, const char* call);
#define CHECK_NCCL(call) ::stepcast::measure::check_nccl((call), #call)

/// One GPU of this process.
struct Member {
  int device = 0;
  int rank = 0;  ///< in the communicator
  ncclComm_t communicator = nullptr;
  std::unique_ptr<Stream> stream;
  Buffer send, receive;
};

class NcclGroup {
 public:
  explicit NcclGroup(const Job& job);
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  int ranks() const { return ranks_; }
  std::vector<Member>& members() { return members_; }
  Member& first() { return members_.front(); }

  /// The number that rank 0 has, for all.
  int agree(int mine);
  void synchronize() const;
  /// Runs `body(member)` for each GPU of this process, its device being current.
  template <class Body>
  void each(const Body& body) {
    for (Member& member : members_) {
      CHECK_CUDA(cudaSetDevice(member.device));
      body(member);
    }
    CHECK_CUDA(cudaSetDevice(members_.front().device));
  }

  static std::string version();  ///< "NCCL 2.28.9"

 private:
  int ranks_ = 1;
  std::vector<Member> members_;
};

/// Puts one operation on the streams of all members. `count` is of one rank's share for all_gather, reduce_scatter and
/// all_to_all, else of the whole buffer.
void launch_collective(NcclGroup& group, const std::string& op, std::size_t count, bool in_place);

/// Elements of fp32 for launch_collective; 0 when the size is too small for the ranks.
std::size_t collective_count(const std::string& op, std::int64_t bytes, int ranks);

}  // namespace stepcast::measure

#endif
