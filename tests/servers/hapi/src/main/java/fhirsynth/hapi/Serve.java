package fhirsynth.hapi;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.interceptor.api.IInterceptorService;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.JpaSystemProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.validation.JpaValidationSupportChain;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * Serves FHIR on loopback for as long as somebody needs it.
 *
 * <p>Who needs it keeps a connection to its door, the port whose number is in the file {@code door}, and is told the
 * base URL there. The system closes the connection of a process that ends, however it ends; when the last is closed,
 * or when nobody comes, the server ends too and takes its database with it.
 *
 * <p>Its one argument is the folder for {@code door} and the database.
 */
public final class Serve {
  private static final int FIRST_COMES_WITHIN_MS = 120_000;
  private static final InetAddress LOOPBACK = InetAddress.getLoopbackAddress();

  private final String base;
  private int users;
  private boolean ending;

  private Serve(String base) {
    this.base = base;
  }

  public static void main(String[] arguments) {
    var folder = Path.of(arguments[0]);
    int code = 1;
    try {
      System.setProperty(Storage.PATH, folder.resolve("database").toAbsolutePath().toString());
      var spring = new AnnotationConfigApplicationContext(Storage.class);
      var base = "http://127.0.0.1:" + listen(servlet(spring)) + "/fhir";
      new Serve(base).whileNeeded(folder);
      code = 0;
    } catch (Exception failed) {
      failed.printStackTrace();
    } finally {
      // Spring would wait for its threads and write the database to the end, which nobody will read.
      for (var ending : new String[] {"mv.db", "trace.db"}) {
        folder.resolve("database." + ending).toFile().delete();
      }
      Runtime.getRuntime().halt(code);
    }
  }

  private static RestfulServer servlet(ApplicationContext spring) {
    var context = spring.getBean(FhirContext.class);
    context.setParserErrorHandler(new StrictErrorHandler()); // an unknown element is an error, not left out in silence
    var server = new RestfulServer(context);
    server.registerProviders(spring.getBean(ResourceProviderFactory.class).createProviders());
    server.registerProvider(spring.getBean(JpaSystemProvider.class));
    server.setServerConformanceProvider(
        new JpaCapabilityStatementProvider(
            server,
            spring.getBean(IFhirSystemDao.class),
            spring.getBean(JpaStorageSettings.class),
            spring.getBean(ISearchParamRegistry.class),
            spring.getBean(JpaValidationSupportChain.class)));
    server.setInterceptorService(spring.getBean(IInterceptorService.class));
    var pages = spring.getBean(DatabaseBackedPagingProvider.class);
    pages.setDefaultPageSize(20); // as in the project that HAPI gives out to start from
    pages.setMaximumPageSize(200);
    server.setPagingProvider(pages);
    server.setDefaultResponseEncoding(EncodingEnum.JSON);
    return server;
  }

  /** The port that it answers on. */
  private static int listen(RestfulServer servlet) throws Exception {
    var jetty = new Server(new InetSocketAddress(LOOPBACK, 0));
    var paths = new ServletContextHandler();
    paths.setContextPath("/");
    paths.addServlet(new ServletHolder(servlet), "/fhir/*");
    jetty.setHandler(paths);
    jetty.start();
    return ((ServerConnector) jetty.getConnectors()[0]).getLocalPort();
  }

  private void whileNeeded(Path folder) throws IOException, InterruptedException {
    try (var door = new ServerSocket(0, 50, LOOPBACK)) {
      var written = Files.writeString(folder.resolve("door.part"), Integer.toString(door.getLocalPort()));
      Files.move(written, folder.resolve("door"), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      door.setSoTimeout(FIRST_COMES_WITHIN_MS);
      let(door.accept());
      door.setSoTimeout(0);
      var letting = new Thread(() -> letAll(door));
      letting.setDaemon(true);
      letting.start();
      synchronized (this) {
        while (!ending) {
          wait();
        }
      }
    }
  }

  private void letAll(ServerSocket door) {
    try {
      while (true) {
        let(door.accept());
      }
    } catch (IOException closed) {
      // it is ending
    }
  }

  private void let(Socket user) {
    var keeping = new Thread(() -> keep(user));
    keeping.setDaemon(true);
    synchronized (this) {
      users++;
    }
    keeping.start();
  }

  private void keep(Socket user) {
    try (user) {
      synchronized (this) {
        if (ending) {
          return; // who is told no base URL knows that this server is no more
        }
        user.getOutputStream().write((base + "\n").getBytes(StandardCharsets.US_ASCII));
      }
      user.getInputStream().transferTo(OutputStream.nullOutputStream());
    } catch (IOException gone) {
      // its process ended
    } finally {
      synchronized (this) {
        if (--users == 0) {
          ending = true;
          notifyAll();
        }
      }
    }
  }
}
