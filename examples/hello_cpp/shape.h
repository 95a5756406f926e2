#pragma once

class Square {
  public:
    explicit Square(double side) : side_(side) {}
    double area() const;

  private:
    double side_;
};

class Circle {
  public:
    explicit Circle(double radius) : radius_(radius) {}
    double area() const;

  private:
    double radius_;
};
