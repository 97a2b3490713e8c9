// ask URL CALLS [OPTION=VALUE]…: asks by the interface that throws, and tells how it went.
//
// Options: total (milliseconds), most (bytes), size (values in the row), threads, fork.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#define TFCLIENT_NO_USING_STD
#include "TFClient.h"

namespace {

int ask_often(const std::string& url, int calls, const tfaaspb::Row& row,
              const tfclient::Settings& settings) {
  try {
    for (int i = 0; i < calls; ++i) {
      const tfaaspb::Predictions found = tfclient::ask(url, row, settings);
      for (const auto& each : found.prediction())
        std::cout << each.label() + "|" + std::to_string(each.probability()) + "\n" << std::flush;
    }
  } catch (const tfclient::Failure& failure) {
    std::cout << failure.status() << "|" << failure.detail() << std::endl;
    std::cerr << failure.what() << std::endl;
    return 1;
  }
  return 0;
}

}  // namespace

int main(int count, char** words) {
  std::map<std::string, long> options;
  for (int i = 3; i < count; ++i) {
    const std::string word = words[i];
    const auto sign = word.find('=');
    options[word.substr(0, sign)] = std::atol(word.c_str() + sign + 1);
  }
  const std::string url = words[1];
  const int calls = std::atoi(words[2]);
  tfclient::Settings settings = tfclient::Settings::of_environment();
  if (options.count("total")) settings.total = std::chrono::milliseconds(options["total"]);
  if (options.count("most")) settings.most_bytes = static_cast<std::size_t>(options["most"]);
  const auto size = static_cast<std::size_t>(options.count("size") ? options["size"] : 2);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < size; ++i) names.push_back(std::to_string(i));
  const tfaaspb::Row row = tfclient::row_of("luca", names, std::vector<float>(size, 0.5F));
  int failed = ask_often(url, calls, row, settings);
  std::vector<std::thread> threads;
  for (long i = 0; i < options["threads"]; ++i)
    threads.emplace_back([&] { ask_often(url, calls, row, settings); });
  for (auto& thread : threads) thread.join();
  if (options["fork"] != 0) {
    const pid_t child = fork();
    if (child == 0) _exit(ask_often(url, calls, row, settings));
    int status = 0;
    waitpid(child, &status, 0);
    failed += status + ask_often(url, calls, row, settings);
  }
  return failed == 0 ? 0 : 1;
}
