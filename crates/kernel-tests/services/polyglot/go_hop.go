// A hop in front of another: answers /NAME/ID with what the next hop says to /back/ID, and /status/NNN with that status.
// It asks as Go programs do, through http.Get and its pool of connections. Arguments: port, port of the next hop.
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
	http.HandleFunc("/status/", func(response http.ResponseWriter, request *http.Request) {
		status, err := strconv.Atoi(path.Base(request.URL.Path))
		if err != nil {
			status = http.StatusBadRequest
		}
		response.WriteHeader(status)
		fmt.Fprintln(response, status)
	})
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		answer, err := http.Get(next + "/back/" + path.Base(request.URL.Path))
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
