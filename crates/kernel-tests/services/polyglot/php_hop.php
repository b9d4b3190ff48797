<?php
// A hop in front of another, for PHP's built-in server, which runs this script for each request: answers /NAME/ID with
// what the next hop says to /back/ID, and /status/NNN with that status. The variable NEXT_PORT is the next hop's port.

[, $name, $last] = explode('/', $_SERVER['REQUEST_URI']);
if ($name === 'status') {
    http_response_code((int) $last);
    echo $last;
} else {
    echo file_get_contents('http://127.0.0.1:' . getenv('NEXT_PORT') . "/back/$last");
}
