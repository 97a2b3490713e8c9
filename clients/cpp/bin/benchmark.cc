// tfaasClient [URL [MODEL [CALLS [INPUTS]]]]: asks once, then so many times in turn, then all at once.
//
// Without arguments it asks what TFaaS's own example asks: a model called luca at port 8083, with
// the values 0 to 41. Exit code 1 tells that a call brought no prediction.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "../interface/TFClient.h"

namespace {

constexpr int most = 10000;  // threads at once; and inputs

class Asking {
 public:
  Asking(std::string url, std::string model, int inputs)
      : url_(std::move(url)), model_(std::move(model)) {
    for (int i = 0; i < inputs; ++i) {
      names_.push_back(std::to_string(i));
      values_.push_back(static_cast<float>(i));
    }
  }

  tfaaspb::Predictions operator()() {
    auto found = predict(url_, model_, names_, values_);
    if (found.prediction_size() == 0) ++failed_;
    return found;
  }

  int failed() const { return failed_; }

 private:
  std::string url_, model_;
  std::vector<std::string> names_;
  std::vector<float> values_;
  std::atomic<int> failed_{0};
};

template <class Calls>
void measure(const char* name, int count, const Calls& calls) {
  const auto begin = std::chrono::steady_clock::now();
  calls();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::cout << name << " benchmark: " << count << " calls in " << std::fixed << took.count()
            << " seconds" << std::endl;
}

int run(Asking& ask, int count) {
  const tfaaspb::Predictions found = ask();
  for (const auto& each : found.prediction())
    std::cout << "class: " << each.label() << " probability: " << each.probability() << std::endl;
  measure("single", count, [&] {
    for (int i = 0; i < count; ++i) ask();
  });
  measure("thread", count, [&] {
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back([&ask] { ask(); });
    for (auto& thread : threads) thread.join();
  });
  if (ask.failed() == 0) return 0;
  std::cerr << ask.failed() << " of " << 2 * count + 1 << " calls brought no prediction"
            << std::endl;
  return 1;
}

}  // namespace

int main(int count, char** words) {
  const auto word = [&](int i, const char* otherwise) {
    return std::string(i < count ? words[i] : otherwise);
  };
  const int calls = std::atoi(word(3, "100").c_str());
  const int inputs = std::atoi(word(4, "42").c_str());
  if (count > 5 || calls < 1 || calls > most || inputs < 1 || inputs > most) {
    std::cerr << "usage: tfaasClient [URL [MODEL [CALLS [INPUTS]]]], 1 to " << most << " of each\n";
    return 2;
  }
  Asking ask(word(1, "http://localhost:8083/proto"), word(2, "luca"), inputs);
  return run(ask, calls);
}
