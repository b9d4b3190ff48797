// A hop in front of another: answers /NAME/ID with what the next hop says to /back/ID, and /status/NNN with that status.
// Threads of a pool serve. Arguments: port, port of the next hop, what they ask by: `connection` (HttpURLConnection, on
// the thread that serves) or `client` (java.net.http.HttpClient, which has threads of its own).

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.concurrent.Executors;

public class JavaHop {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(arguments[0]);
        String next = "http://127.0.0.1:" + arguments[1] + "/back/";
        boolean byClient = arguments[2].equals("client");
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 128);
        server.createContext("/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            String last = path.substring(path.lastIndexOf('/') + 1);
            if (path.startsWith("/status/")) {
                answer(exchange, Integer.parseInt(last), last.getBytes());
            } else {
                URI uri = URI.create(next + last);
                answer(exchange, 200, byClient ? askByClient(uri) : askByConnection(uri));
            }
        });
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        try (exchange) {
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
        }
    }

    private static byte[] askByConnection(URI uri) throws IOException {
        var connection = (HttpURLConnection) uri.toURL().openConnection();
        try (var body = connection.getInputStream()) {
            return body.readAllBytes();
        }
    }

    private static byte[] askByClient(URI uri) throws IOException {
        try {
            return CLIENT.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofByteArray()).body();
        } catch (InterruptedException interrupted) {
            throw new IOException(interrupted);
        }
    }
}
