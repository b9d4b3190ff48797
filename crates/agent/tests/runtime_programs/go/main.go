// A program whose goroutines say whether their numbers are where they are said to be.
//
// Its arguments are the distance of the pointer to g from the thread's fs base, and the offsets of goid and parentGoid in
// runtime.g. Prints "right", or what is wrong and fails.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// currentG gives the pointer to the g of the goroutine that calls it, as the assembler finds it.
func currentG() uintptr

// threadWord gives a word at a distance from the thread's fs base.
func threadWord(at uintptr) uintptr

var goid, parentGoid, current uintptr

func main() {
	current, goid, parentGoid = argument(1), argument(2), argument(3)
	first := check("the first", 0)
	var group sync.WaitGroup
	for range make([]struct{}, 50) {
		group.Add(1)
		go func() {
			defer group.Done()
			maker := check("made", first)
			numbers := make(chan uint64)
			go func() { numbers <- check("made by made", maker) }()
			<-numbers
			runtime.Gosched()
			// On whatever thread it is now.
			check("made, later", first)
		}()
	}
	group.Wait()
	fmt.Println("right")
}

// check compares what stands in memory with what the runtime says, and with the maker's number, and gives back the
// number. The first goroutine's maker is the runtime, whose thread's own g has the number 0.
func check(who string, maker uint64) uint64 {
	number := byRuntime()
	// One that is moved to another thread between two reads reads another g, so the thread is kept.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g, byThread := currentG(), threadWord(current)
	if g != byThread || number == 0 {
		fail(who, "g", fmt.Sprintf("%#x", g), fmt.Sprintf("%#x", byThread))
	}
	if found := word(g, goid); found != number {
		fail(who, "goid", number, found)
	}
	if found := word(g, parentGoid); found != maker {
		fail(who, "parentGoid", maker, found)
	}
	return number
}

func fail(who, what string, expected, found any) {
	fmt.Println(who, what, "expected:", expected, "found:", found)
	os.Exit(1)
}

func word(g, offset uintptr) uint64 {
	return *(*uint64)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&g)), offset))
}

// byRuntime reads the number from the text that a panic shows: "goroutine 7 [running]:".
func byRuntime() uint64 {
	text := make([]byte, 64)
	text = text[:runtime.Stack(text, false)]
	number, err := strconv.ParseUint(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		panic(err)
	}
	return number
}

func argument(index int) uintptr {
	value, err := strconv.ParseInt(os.Args[index], 10, 64)
	if err != nil {
		panic(err)
	}
	return uintptr(value)
}
