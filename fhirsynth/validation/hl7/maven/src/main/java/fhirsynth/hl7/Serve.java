package fhirsynth.hl7;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.MappingIterator;
import com.fasterxml.jackson.databind.ObjectMapper;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Judges resources that come over standard input, until it ends.
 *
 * <p>Everything is JSON, one object a line, UTF-8. First comes a {@link Start}, which is answered with
 * {@code {"ready": true}} or {@code {"failed": "why"}}; then any number of {@link Question}s, each answered, in the
 * order in which they are done, with {@code {"id": 1, "issues": [...]}}.
 */
public final class Serve {
  /** What to judge by: the definitions (each the JSON of a resource), profiles that all must meet, how many threads. */
  public record Start(Map<String, String> definitions, List<String> profiles, int threads, boolean unknownProfilesAreErrors) {}

  /**
   * One resource to judge, as JSON in a string, so that it comes to the validator letter by letter as it was, and the
   * profiles that it claims.
   */
  public record Question(long id, String text, List<String> claims) {}

  public record Answer(long id, List<Judge.Issue> issues) {}

  /** FHIR may be nested deeply, and the validator goes down into it by recursion. */
  private static final long STACK = 256L << 20;

  private static final ObjectMapper JSON = new ObjectMapper(JsonFactory.builder()
      .streamReadConstraints(StreamReadConstraints.builder().maxStringLength(Integer.MAX_VALUE).build())
      .build()).disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

  private final OutputStream out;

  private Serve(OutputStream out) {
    this.out = out;
  }

  public static void main(String[] arguments) {
    Locale.setDefault(Locale.UK); // the validator speaks the language of the machine otherwise
    OutputStream answers = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16);
    System.setOut(System.err); // whatever a library prints must not come between the answers
    try {
      new Serve(answers).serve();
    } catch (IOException | RuntimeException | Error e) {
      end(e);
    }
    Runtime.getRuntime().halt(0); // HAPI leaves threads behind, and nobody waits for answers any more
  }

  private void serve() throws IOException {
    FileInputStream in = new FileInputStream(FileDescriptor.in);
    MappingIterator<Start> first = JSON.readerFor(Start.class).readValues(in);
    Start start = first.nextValue();
    Judge judge;
    try {
      judge = new Judge(start);
    } catch (Definitions.Unusable e) {
      say(Map.of("failed", e.getMessage()));
      return;
    }
    say(Map.of("ready", true));
    watch();
    ExecutorService workers = Executors.newFixedThreadPool(
        start.threads(), work -> new Thread(null, work, "judge", STACK));
    MappingIterator<Question> questions = JSON.readerFor(Question.class).readValues(first.getParser());
    while (questions.hasNextValue()) {
      Question question = questions.nextValue();
      workers.submit(() -> answer(judge, question));
    }
  }

  private void answer(Judge judge, Question question) {
    try {
      say(new Answer(question.id(), judge.issues(question.text(), question.claims())));
    } catch (IOException | RuntimeException | Error e) {
      end(e); // an answer that does not come would be waited for
    }
  }

  /** Ends the process where threads wait for each other for ever: HAPI locks definitions in no fixed order. */
  private static void watch() {
    Thread watcher = new Thread(() -> {
      try {
        while (ManagementFactory.getThreadMXBean().findDeadlockedThreads() == null) {
          Thread.sleep(2000);
        }
        end(new IllegalStateException("threads of the validator wait for each other"));
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }, "watcher");
    watcher.setDaemon(true);
    watcher.start();
  }

  private static void end(Throwable why) {
    why.printStackTrace();
    Runtime.getRuntime().halt(1);
  }

  private synchronized void say(Object answer) throws IOException {
    out.write(JSON.writeValueAsBytes(answer));
    out.write('\n');
    out.flush();
  }
}
