package io.blocktap.it;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaPackage;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.Location;
import com.tngtech.archunit.lang.ArchRule;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

/**
 * Which package may know which (docs/architecture.md, "Modules"). Maven already keeps the modules apart; these rules also hold
 * inside a module, and say why.
 */
final class ArchitectureTest {
    private static final String TRANSPORT = "io.blocktap.transport..";
    private static final String PIPELINE = "io.blocktap.pipeline..";
    private static final String TERMINATORS = "io.blocktap.terminator..";
    private static final String INTERPOSERS = "io.blocktap.interposer..";
    private static final String LAUNCHER = "io.blocktap.launcher..";
    private static final String NATIVE_CALLS = "io.blocktap.transport.sys..";
    private static final String JNA = "com.sun.jna..";

    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ArchitectureTest::isMainCode)
            .importPackages("io.blocktap");

    private static boolean isMainCode(Location location) {
        return !location.contains("/test-classes/") && !location.contains("-tests.jar");
    }

    private static void check(ArchRule rule) {
        // A rule about a package that is not there yet is kept, not broken.
        rule.allowEmptyShould(true).check(CLASSES);
    }

    @Test
    void seesTheClassesItJudges() {
        assertThat(CLASSES.stream().map(JavaClass::getPackageName))
                .contains("io.blocktap.transport.ring", "io.blocktap.pipeline", "io.blocktap.launcher")
                .doesNotContain("io.blocktap.it");
    }

    @Test
    void transportKnowsNothingOfHooks() {
        check(noClasses()
                .that()
                .resideInAPackage(TRANSPORT)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(PIPELINE, TERMINATORS, INTERPOSERS, LAUNCHER));
    }

    @Test
    void pipelineKnowsNoStage() {
        check(noClasses()
                .that()
                .resideInAPackage(PIPELINE)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(TERMINATORS, INTERPOSERS, LAUNCHER));
    }

    @Test
    void terminatorsDoNotKnowInterposers() {
        check(noClasses()
                .that()
                .resideInAPackage(TERMINATORS)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(INTERPOSERS, LAUNCHER));
    }

    @Test
    void interposersDoNotKnowTerminators() {
        check(noClasses()
                .that()
                .resideInAPackage(INTERPOSERS)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(TERMINATORS, LAUNCHER));
    }

    @Test
    void ringsAndCodecsNeedNoNativeCode() {
        check(noClasses()
                .that()
                .resideInAnyPackage("io.blocktap.transport.ring..", "io.blocktap.pipeline.codec..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(JNA, NATIVE_CALLS)
                .because("they are tested on any machine, without root"));
    }

    @Test
    void onlyTheSystemCallPackageUsesJna() {
        check(noClasses()
                .that()
                .resideOutsideOfPackage(NATIVE_CALLS)
                .should()
                .dependOnClassesThat()
                .resideInAPackage(JNA)
                .because("another way to native code must be able to replace JNA in one place"));
    }

    @Test
    void onlyTheLauncherReadsCommandLinesAndYaml() {
        check(noClasses()
                .that()
                .resideOutsideOfPackage(LAUNCHER)
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("picocli..", "org.snakeyaml..")
                .because("who embeds blocktap brings neither"));
    }

    @Test
    void thereAreNoCyclesBetweenTheParts() {
        check(slices().matching("io.blocktap.(*)..").should().beFreeOfCycles());
    }

    @Test
    void everyPackageIsDescribedAndNullMarked() {
        var packages = CLASSES.stream().map(JavaClass::getPackage).collect(Collectors.toSet());

        var unmarked = packages.stream()
                .filter(each -> !each.isAnnotatedWith(NullMarked.class))
                .map(JavaPackage::getName)
                .collect(Collectors.toCollection(TreeSet::new));

        assertThat(unmarked)
                .as("packages without a package-info.java that says @NullMarked")
                .isEmpty();
    }
}
