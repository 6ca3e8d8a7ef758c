import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The job of card_app.py on Kafka Streams, exactly_once_v2: Avro in, ten figures a card in an in-memory store with a
 * changelog, scaler and logistic regression that learn from each event, one Avro prediction out. It has no drift
 * detector and its weights are not in its changelog: less work than the job that it stands beside.
 *
 * <p>Arguments: broker, event topic, output topic, application id, card.avsc, commit interval in ms.
 */
public final class CardScores {
  static final double[] HALFLIVES_MS = {7_000, 70_000, 700_000};
  static final int FEATURES = 11;
  static final int WIRE_HEADER_BYTES = 5;
  static final Schema PREDICTION =
      SchemaBuilder.record("Prediction").fields().requiredString("id").requiredDouble("score").endRecord();

  /** River's StandardScaler | LogisticRegression (SGD 0.01), predict, then learn. */
  static final class Model {
    final double[] weights = new double[FEATURES], means = new double[FEATURES], squares = new double[FEATURES];
    final double[] scaled = new double[FEATURES];
    double intercept;
    long seen;

    double predict(double[] features) {
      double sum = intercept;
      for (int i = 0; i < FEATURES; i++) {
        scaled[i] = squares[i] > 0 ? (features[i] - means[i]) / Math.sqrt(squares[i] / seen) : 0;
        sum += weights[i] * scaled[i];
      }
      return 1 / (1 + Math.exp(-sum));
    }

    void learn(double[] features, int target) {
      seen++;
      for (int i = 0; i < FEATURES; i++) {
        double before = features[i] - means[i];
        means[i] += before / seen;
        squares[i] += before * (features[i] - means[i]);
      }
      double gradient = predict(features) - target;
      for (int i = 0; i < FEATURES; i++) {
        weights[i] -= 0.01 * gradient * scaled[i];
      }
      intercept -= 0.01 * gradient;
    }
  }

  static final class Scorer implements Processor<byte[], byte[], byte[], byte[]> {
    final GenericDatumReader<GenericRecord> reader;
    final GenericDatumWriter<GenericRecord> writer = new GenericDatumWriter<>(PREDICTION);
    final Model model = new Model();
    final double[] features = new double[FEATURES];
    ProcessorContext<byte[], byte[]> context;
    KeyValueStore<String, double[]> figures;
    BinaryDecoder decoder;
    BinaryEncoder encoder;
    GenericRecord event;

    Scorer(Schema schema) {
      reader = new GenericDatumReader<>(schema);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
      figures = context.getStateStore("figures");
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      try {
        byte[] value = record.value();
        decoder =
            DecoderFactory.get()
                .binaryDecoder(value, WIRE_HEADER_BYTES, value.length - WIRE_HEADER_BYTES, decoder);
        event = reader.read(event, decoder);
        String card = event.get("card").toString();
        double amount = (Double) event.get("amount");
        long timeMs = (Long) event.get("ts");
        double[] state = figures.get(card);
        if (state == null) {
          state = new double[1 + 2 * HALFLIVES_MS.length];
          state[0] = timeMs;
        }
        double idleMs = Math.max(0, timeMs - state[0]);
        for (int i = 0; i < HALFLIVES_MS.length; i++) {
          double decay = Math.pow(0.5, idleMs / HALFLIVES_MS[i]);
          double count = state[1 + 2 * i] = state[1 + 2 * i] * decay + 1;
          double sum = state[2 + 2 * i] = state[2 + 2 * i] * decay + amount;
          features[3 * i] = count;
          features[3 * i + 1] = sum;
          features[3 * i + 2] = amount * count / sum;
        }
        features[9] = idleMs / 1000;
        features[10] = amount;
        state[0] = timeMs;
        figures.put(card, state);
        double score = model.predict(features);
        model.learn(features, (Integer) event.get("label"));
        context.forward(record.withValue(encode(event.get("id"), score)));
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }

    private byte[] encode(Object id, double score) throws IOException {
      GenericRecord prediction = new GenericData.Record(PREDICTION);
      prediction.put("id", id);
      prediction.put("score", score);
      ByteArrayOutputStream bytes = new ByteArrayOutputStream(32);
      encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
      writer.write(prediction, encoder);
      encoder.flush();
      return bytes.toByteArray();
    }
  }

  static byte[] pack(String topic, double[] values) {
    if (values == null) {
      return null;
    }
    ByteBuffer bytes = ByteBuffer.allocate(Double.BYTES * values.length);
    bytes.asDoubleBuffer().put(values);
    return bytes.array();
  }

  static double[] unpack(String topic, byte[] bytes) {
    if (bytes == null) {
      return null;
    }
    double[] values = new double[bytes.length / Double.BYTES];
    ByteBuffer.wrap(bytes).asDoubleBuffer().get(values);
    return values;
  }

  public static void main(String[] arguments) throws IOException {
    Schema schema = new Schema.Parser().parse(Path.of(arguments[4]).toFile());
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments[5]);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put("auto.offset.reset", "earliest");
    Topology topology = new Topology();
    topology
        .addSource("events", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), arguments[1])
        .addProcessor(
            "score", (ProcessorSupplier<byte[], byte[], byte[], byte[]>) () -> new Scorer(schema), "events")
        .addStateStore(
            Stores.keyValueStoreBuilder(
                    Stores.inMemoryKeyValueStore("figures"),
                    Serdes.String(),
                    Serdes.serdeFrom(CardScores::pack, CardScores::unpack))
                .withLoggingEnabled(Map.of()),
            "score")
        .addSink(
            "predictions", arguments[2], Serdes.ByteArray().serializer(), Serdes.ByteArray().serializer(), "score");
    KafkaStreams streams = new KafkaStreams(topology, settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
