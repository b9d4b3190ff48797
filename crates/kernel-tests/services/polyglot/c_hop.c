/*
 * A hop in front of another: answers /NAME/ID with what the next hop says to /back/ID, and /status/NNN with that status.
 * The thread that serves asks, over a connection for each call. Arguments: port, port of the next hop, what serves:
 * `connection` (libmicrohttpd with a thread for each connection), `pool` (libmicrohttpd with a few threads) or `plain` (a
 * thread for each connection, which reads from it without anything between).
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in next_hop;

/* The body of the response, in `response`; NULL if there is none. */
static char *ask(const char *last, char *response, size_t size)
{
    char request[256];
    size_t filled = 0;
    ssize_t received;
    char *body;
    int length = snprintf(request, sizeof request,
                          "GET /back/%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
                          last, ntohs(next_hop.sin_port));
    int asked = socket(AF_INET, SOCK_STREAM, 0);
    if (asked < 0)
        return NULL;
    if (connect(asked, (struct sockaddr *)&next_hop, sizeof next_hop) || write(asked, request, length) != length) {
        close(asked);
        return NULL;
    }
    while (filled + 1 < size && (received = read(asked, response + filled, size - 1 - filled)) > 0)
        filled += received;
    close(asked);
    response[filled] = '\0';
    body = strstr(response, "\r\n\r\n");
    return body ? body + 4 : NULL;
}

static enum MHD_Result serve(void *nothing, struct MHD_Connection *connection, const char *url, const char *method,
                             const char *version, const char *upload, size_t *upload_size, void **state)
{
    char buffer[4096];
    const char *last = strrchr(url, '/') + 1;
    const char *body = last;
    unsigned status = MHD_HTTP_OK;
    struct MHD_Response *response;
    enum MHD_Result result;
    (void)nothing, (void)method, (void)version, (void)upload, (void)upload_size;
    /* The first call is for the head alone; an answer to that would end the connection. */
    if (!*state) {
        *state = connection;
        return MHD_YES;
    }
    if (!strncmp(url, "/status/", 8)) {
        status = strtoul(last, NULL, 10);
    } else if (!(body = ask(last, buffer, sizeof buffer))) {
        status = MHD_HTTP_BAD_GATEWAY;
        body = "";
    }
    response = MHD_create_response_from_buffer(strlen(body), (void *)body, MHD_RESPMEM_MUST_COPY);
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* Requests come one after the other and without a body, so that each read gives one. */
static void *serve_plainly(void *connection)
{
    int client = (int)(intptr_t)connection;
    char request[4096], buffer[4096], response[4096];
    ssize_t received;
    while ((received = read(client, request, sizeof request - 1)) > 0) {
        char name[64], last[64];
        const char *body = last;
        int status = MHD_HTTP_OK, length;
        request[received] = '\0';
        if (sscanf(request, "GET /%63[^/]/%63s", name, last) != 2)
            break;
        if (!strcmp(name, "status"))
            status = atoi(last);
        else if (!(body = ask(last, buffer, sizeof buffer)))
            break;
        length = snprintf(response, sizeof response, "HTTP/1.1 %d As asked\r\nContent-Length: %zu\r\n\r\n%s", status,
                          strlen(body), body);
        if (write(client, response, length) != length)
            break;
    }
    close(client);
    return NULL;
}

static int listen_plainly(const struct sockaddr_in *address)
{
    int on = 1, client, listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on)
        || bind(listener, (const struct sockaddr *)address, sizeof *address) || listen(listener, 128))
        return 1;
    while ((client = accept(listener, NULL, NULL)) >= 0)
        if (pthread_create(&thread, NULL, serve_plainly, (void *)(intptr_t)client) || pthread_detach(thread))
            return 1;
    return 1;
}

int main(int count, char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon;
    if (count != 4)
        return 2;
    next_hop = address;
    next_hop.sin_port = htons(atoi(arguments[2]));
    address.sin_port = htons(atoi(arguments[1]));
    if (!strcmp(arguments[3], "plain"))
        return listen_plainly(&address);
    if (!strcmp(arguments[3], "pool"))
        daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, serve, NULL,
                                  MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, 4u, MHD_OPTION_END);
    else
        daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0,
                                  NULL, NULL, serve, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    if (!daemon) {
        perror("start the server");
        return 1;
    }
    pause();
    return 0;
}
