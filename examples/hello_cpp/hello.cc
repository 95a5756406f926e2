// C++ in an enclave: exceptions unwind, streams print, threads add up.
#include <atomic>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "shape.h"

int main() {
    std::map<std::string, double> areas{{"square", Square(2).area()}, {"circle", Circle(1).area()}};
    for (const auto &[name, area] : areas)
        std::cout << name << " has area " << area << '\n';

    std::atomic<int> sum{0};
    std::vector<std::thread> threads;
    for (int i = 1; i <= 4; i++)
        threads.emplace_back([&sum, i] { sum += i; });
    for (auto &thread : threads)
        thread.join();
    std::cout << "threads add up to " << sum << '\n';

    try {
        Square(-1).area();
    } catch (const std::invalid_argument &error) {
        std::cout << "caught: " << error.what() << std::endl;
    }
}
