// A hop in front of another: answers /NAME/ID with what the next hop says to /back/ID, and /status/NNN with that status.
// It asks as Go programs do, through http.Get and its pool of connections. Arguments: port, port of the next hop, and
// "goroutine" where each request asks from a goroutine that it starts for that.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"strconv"
)

func main() {
	next := "http://127.0.0.1:" + os.Args[2]
	ask := http.Get
	if len(os.Args) > 3 && os.Args[3] == "goroutine" {
		ask = getFromAnother
	}
	http.HandleFunc("/status/", func(response http.ResponseWriter, request *http.Request) {
		status, err := strconv.Atoi(path.Base(request.URL.Path))
		if err != nil {
			status = http.StatusBadRequest
		}
		response.WriteHeader(status)
		fmt.Fprintln(response, status)
	})
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		answer, err := ask(next + "/back/" + path.Base(request.URL.Path))
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		response.Write(body)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

// getFromAnother does what http.Get does, from a goroutine of its own.
func getFromAnother(url string) (answer *http.Response, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		answer, err = http.Get(url)
	}()
	<-done
	return answer, err
}
