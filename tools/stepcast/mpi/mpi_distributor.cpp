/// Processes that `mpirun` started, as a sweep's Distributor. Nothing else of Stepcast knows MPI: this is a module that the
/// program loads when it finds itself started as one of several (processes.cpp), so that alone it starts without it.
///
/// Only the thread that calls talks to MPI. Waiting sleeps in between: MPI's own waiting keeps a core busy.
///
/// A process that dies takes the others with it, unless MPI is told otherwise (Open MPI: `mpirun --enable-recovery`): then
/// the coordinator misses it after a while, and another does what it was at. The coordinator's own death ends the sweep;
/// what was found until then is in the store.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <mpi.h>

#include "simulator/search/distributor.hpp"

namespace stepcast {
namespace {

constexpr std::size_t largest = (std::size_t{1} << 31U) - 1;  ///< MPI counts bytes in an int

enum Tag : int { task_tag = 1, answer_tag, failed_tag, finish_tag, finished_tag, alive_tag };

void send(int to, Tag tag, const std::string& bytes) {
  MPI_Send(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, tag, MPI_COMM_WORLD);
}

struct Message {
  int from = 0;
  int tag = 0;
  std::string bytes;
};

/// What has arrived; nothing when nothing has.
std::optional<Message> receive() {
  int arrived = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &arrived, &status);
  if (arrived == 0) return std::nullopt;
  int size = 0;
  MPI_Get_count(&status, MPI_BYTE, &size);
  Message message{status.MPI_SOURCE, status.MPI_TAG, std::string(static_cast<std::size_t>(size), '\0')};
  MPI_Recv(message.bytes.data(), size, MPI_BYTE, message.from, message.tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  return message;
}

/// Sleeps longer the longer nothing has happened.
class Pause {
 public:
  void over() { length_ = shortest; }
  void take() {
    std::this_thread::sleep_for(length_);
    length_ = std::min(2 * length_, longest);
  }

 private:
  static constexpr std::chrono::microseconds shortest{50}, longest{2000};
  std::chrono::microseconds length_ = shortest;
};

/// Performs tasks in a thread of its own, one at a time.
class OwnThread {
 public:
  explicit OwnThread(const Distributor::Perform& perform) : thread_([this, perform] { work(perform); }) {}
  ~OwnThread() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  bool idle() const { return !busy_; }
  void give(std::string task) {
    busy_ = true;
    {
      const std::lock_guard lock(mutex_);
      task_ = std::move(task);
    }
    changed_.notify_one();
  }
  std::optional<Message> answer() {
    const std::lock_guard lock(mutex_);
    if (!answer_) return std::nullopt;
    busy_ = false;
    return std::exchange(answer_, std::nullopt);
  }

 private:
  void work(const Distributor::Perform& perform) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stop_ || task_; });
      if (stop_) return;
      const std::string task = *std::exchange(task_, std::nullopt);
      lock.unlock();
      Message answer{0, answer_tag, {}};
      try {
        answer.bytes = perform(task);
      } catch (const std::exception& error) {
        answer = {0, failed_tag, error.what()};
      }
      lock.lock();
      answer_ = std::move(answer);
    }
  }

  bool busy_ = false;  ///< as the caller knows it
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> task_;
  std::optional<Message> answer_;
  bool stop_ = false;
  std::thread thread_;
};

class MpiDistributor : public Distributor {
 public:
  MpiDistributor() {
    int given = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &processes_);
    others_.resize(static_cast<std::size_t>(processes_));
  }

  /// The coordinator lets the others go once they have done what they are at; also when it has failed.
  ~MpiDistributor() override {
    if (coordinates()) {
      for (int other = 1; other < processes_; ++other) {
        if (!at(other).lost) send(other, finish_tag, any_lost() ? "without those lost" : "");
      }
      Pause pause;
      while (std::any_of(others_.begin() + 1, others_.end(), [](const Other& o) { return !o.lost && !o.gone; })) {
        const std::optional<Message> message = receive();
        if (message) hear(*message);
        look_for_the_lost();
        message ? pause.over() : pause.take();
      }
    }
    if (!any_lost()) MPI_Finalize();  // everybody has to take part in it
  }

  int processes() const override { return processes_; }
  bool coordinates() const override { return rank_ == 0; }

  std::string run(const std::function<std::optional<std::string>()>& next,
                  const std::function<void(const std::string&)>& done, const Perform& here) override {
    OwnThread own(here);
    std::string failure;
    bool more = true;
    const auto next_task = [&] {
      std::optional<std::string> task;
      if (failure.empty() && !left_behind_.empty()) {
        task = std::move(left_behind_.back());
        left_behind_.pop_back();
      } else if (failure.empty() && more) {
        task = next();
        more = task.has_value();
      }
      return task;
    };
    Pause pause;
    for (;;) {
      for (int other = 1; other < processes_; ++other) {
        if (at(other).task || at(other).lost) continue;
        at(other).task = next_task();
        at(other).heard = Clock::now();
        if (at(other).task) send(other, task_tag, *at(other).task);
      }
      if (own.idle()) {
        if (auto task = next_task()) own.give(std::move(*task));
      }
      keep_in_touch();
      look_for_the_lost();
      std::optional<Message> message = receive();
      const bool answers = message && hear(*message);
      if (message && !answers) continue;
      if (!message) message = own.answer();
      if (message) {
        pause.over();
        if (message->tag == failed_tag && failure.empty()) failure = message->bytes;
        if (message->tag == answer_tag && failure.empty()) done(message->bytes);
        continue;
      }
      const bool idle =
          own.idle() && std::none_of(others_.begin(), others_.end(), [](const Other& o) { return o.task.has_value(); });
      if (idle && (!failure.empty() || (!more && left_behind_.empty()))) return failure;
      pause.take();
    }
  }

  void serve(const Perform& perform) override {
    OwnThread own(perform);
    Pause pause;
    Clock::time_point heard = Clock::now();
    for (;;) {
      keep_in_touch();
      if (const std::optional<Message> message = receive()) {
        pause.over();
        heard = Clock::now();
        if (message->tag == finish_tag) {
          others_.back().lost = !message->bytes.empty();
          break;
        }
        if (message->tag == task_tag) own.give(message->bytes);
      } else if (const std::optional<Message> answer = own.answer()) {
        pause.over();
        const bool fits = answer->bytes.size() <= largest;
        send(0, fits ? static_cast<Tag>(answer->tag) : failed_tag,
             fits ? answer->bytes : "the answer to a task is larger than 2 GiB");
      } else if (Clock::now() - heard > patience) {
        others_[0].lost = true;
        std::fprintf(stderr, "the process that coordinates the sweep is lost\n");
        return;
      } else {
        pause.take();
      }
    }
    send(0, finished_tag, "");
  }

 private:
  using Clock = std::chrono::steady_clock;
  /// A process that nothing is heard of for so long is taken for lost.
  static constexpr std::chrono::seconds patience{10};

  struct Other {
    std::optional<std::string> task;  ///< that it is at
    Clock::time_point heard = Clock::now();
    bool lost = false, gone = false;
  };
  bool any_lost() const {
    return std::any_of(others_.begin(), others_.end(), [](const Other& other) { return other.lost; });
  }
  Other& at(int rank) { return others_[static_cast<std::size_t>(rank)]; }

  /// @return whether the message is an answer to be looked at
  bool hear(const Message& message) {
    Other& other = at(message.from);
    other.heard = Clock::now();
    if (message.tag == finished_tag) other.gone = true;
    if (other.lost || (message.tag != answer_tag && message.tag != failed_tag)) return false;
    other.task.reset();
    return true;
  }

  /// Says that this process is there, to those who wait for it.
  void keep_in_touch() {
    const Clock::time_point now = Clock::now();
    if (now - said_ < std::chrono::seconds(1)) return;
    said_ = now;
    for (int other = coordinates() ? 1 : 0; other < (coordinates() ? processes_ : 1); ++other) {
      if (!at(other).lost) send(other, alive_tag, "");
    }
  }

  /// What a lost process was at is done by another.
  void look_for_the_lost() {
    for (int other = 1; other < processes_; ++other) {
      Other& one = at(other);
      if (one.lost || one.gone || Clock::now() - one.heard < patience) continue;
      one.lost = true;
      std::fprintf(stderr, "process %d of the sweep is lost: the others do its part\n", other);
      if (one.task) left_behind_.push_back(std::move(*std::exchange(one.task, std::nullopt)));
    }
  }

  int rank_ = 0, processes_ = 1;
  std::vector<Other> others_;             ///< by rank; this one's own is not used
  std::vector<std::string> left_behind_;  ///< tasks of lost processes
  Clock::time_point said_ = Clock::now();
};

}  // namespace
}  // namespace stepcast

extern "C" stepcast::Distributor* stepcast_mpi_distributor() { return new stepcast::MpiDistributor; }
