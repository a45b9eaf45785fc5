#pragma once
/// Several processes that search together: one hands out tasks, all of them perform them. How messages travel is the
/// implementation's affair (tools/stepcast/mpi.cpp); what is in them is the search's.

#include <functional>
#include <optional>
#include <string>

namespace stepcast {

class Distributor {
 public:
  /// Bytes to bytes. What it throws is handed to the coordinator as text.
  using Perform = std::function<std::string(const std::string& task)>;

  virtual ~Distributor() = default;

  virtual int processes() const = 0;
  /// One of them does; it performs tasks as well.
  virtual bool coordinates() const = 0;

  /// Coordinator: has tasks performed by whoever is free, until there is no next one and all are done. `next` and `done`
  /// are called by the calling thread, `here` by another.
  /// @return what failed, when a task did; then no further one was given out. Empty: nothing
  virtual std::string run(const std::function<std::optional<std::string>()>& next,
                          const std::function<void(const std::string& answer)>& done, const Perform& here) = 0;

  /// The others: performs tasks until the coordinator's distributor goes.
  virtual void serve(const Perform& perform) = 0;
};

}  // namespace stepcast
