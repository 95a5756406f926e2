// Goroutines that share work, a timer, and another program that is started and read from.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		fmt.Printf("child: %s\n", strings.Join(os.Args[2:], " "))
		os.Exit(3)
	}
	fmt.Printf("sum of squares: %d\n", sumOfSquares(1000))

	timer := time.After(20 * time.Millisecond)
	select {
	case <-timer:
		fmt.Println("the timer rang")
	case <-time.After(10 * time.Second):
		fmt.Println("the timer is late")
	}

	output, err := exec.Command("/proc/self/exe", "child", "one", "two").Output()
	fmt.Printf("%s", output)
	fmt.Printf("the child ended: %v\n", err)
}

// sumOfSquares lets eight goroutines square and one add.
func sumOfSquares(limit int) int {
	numbers, squares := make(chan int), make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for number := range numbers {
				squares <- number * number
			}
		})
	}
	go func() {
		for number := range limit {
			numbers <- number
		}
		close(numbers)
		workers.Wait()
		close(squares)
	}()
	sum := 0
	for square := range squares {
		sum += square
	}
	return sum
}
