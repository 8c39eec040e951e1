package org.albertzh.sample;

import android.app.Activity;
import android.content.res.AssetFileDescriptor;
import android.content.res.AssetManager;
import android.os.Bundle;
import android.widget.Button;
import android.widget.EditText;
import android.widget.TextView;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.albertzh.AlbertClassifier;
import org.albertzh.LabelMap;
import org.albertzh.Prediction;
import org.albertzh.WordPieceTokenizer;

/** Classifies what is typed with the assets model.tflite, vocab.txt and label_map.json. */
public final class MainActivity extends Activity {
    private static final int THREADS = 2;
    private static final boolean LOWER_CASE = true;
    private static final double NANOS_PER_MILLI = 1e6;

    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private AlbertClassifier classifier; // the worker's alone

    @Override
    protected void onCreate(Bundle savedInstanceState) {
        super.onCreate(savedInstanceState);
        setContentView(R.layout.main);
        worker.execute(this::load);
        findViewById(R.id.classify).setOnClickListener(view -> classify());
    }

    @Override
    protected void onDestroy() {
        worker.execute(
                () -> {
                    if (classifier != null) {
                        classifier.close();
                    }
                });
        worker.shutdown();
        super.onDestroy();
    }

    private void load() {
        try {
            classifier = open(getAssets());
            show(getString(R.string.ready, classifier.labels().size()), true);
        } catch (IOException | RuntimeException | LinkageError e) { // LinkageError: no native library
            show(getString(R.string.failed, e), false);
        }
    }

    private void classify() {
        String textA = textOf(R.id.text_a);
        String textB = textOf(R.id.text_b);
        worker.execute(
                () -> {
                    long start = System.nanoTime();
                    Prediction prediction =
                            textB.isEmpty()
                                    ? classifier.classify(textA)
                                    : classifier.classify(textA, textB);
                    double millis = (System.nanoTime() - start) / NANOS_PER_MILLI;
                    show(getString(R.string.result, prediction, millis), true);
                });
    }

    private String textOf(int id) {
        return ((EditText) findViewById(id)).getText().toString();
    }

    private void show(String message, boolean isReady) {
        runOnUiThread(
                () -> {
                    ((TextView) findViewById(R.id.result)).setText(message);
                    ((Button) findViewById(R.id.classify)).setEnabled(isReady);
                });
    }

    private static AlbertClassifier open(AssetManager assets) throws IOException {
        try (InputStream vocabulary = assets.open("vocab.txt");
                InputStream labelMap = assets.open("label_map.json")) {
            WordPieceTokenizer tokenizer = new WordPieceTokenizer(vocabulary, LOWER_CASE);
            List<String> labels = LabelMap.read(labelMap);
            return AlbertClassifier.open(mapped(assets, "model.tflite"), tokenizer, labels, THREADS);
        }
    }

    private static ByteBuffer mapped(AssetManager assets, String name) throws IOException {
        try (AssetFileDescriptor asset = assets.openFd(name);
                FileInputStream stream = new FileInputStream(asset.getFileDescriptor())) {
            return stream.getChannel()
                    .map(
                            FileChannel.MapMode.READ_ONLY,
                            asset.getStartOffset(),
                            asset.getDeclaredLength());
        }
    }
}
