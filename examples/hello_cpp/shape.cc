#include "shape.h"

#include <stdexcept>

double Square::area() const {
    if (side_ < 0)
        throw std::invalid_argument("a square has no negative side");
    return side_ * side_;
}

double Circle::area() const { return 3.14159265358979 * radius_ * radius_; }
