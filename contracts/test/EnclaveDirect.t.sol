// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EnclaveRegistry} from "../src/EnclaveRegistry.sol";
import {IDcapVerifier} from "../src/interfaces/IDcapVerifier.sol";
import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {QuorumVerifier} from "../src/verifiers/QuorumVerifier.sol";
import {DcapForger} from "./DcapForger.sol";
import {EnclaveDeployment} from "./EnclaveDeployment.sol";
import {vm} from "./Vm.sol";

/// @title Keys that nobody vouches for but their machine: registered on a quote, for approved software alone
contract EnclaveDirectTest is EnclaveDeployment, DcapForger {
    bytes32 private measured;

    function setUp() public override {
        vm.warp(NOW);
        super.setUp();
        deployForged(0);
        enclaves = EnclaveRegistry(
            deployShipped("EnclaveRegistry", abi.encode(operators, quorum, uint256(QUORUM_SIZE), dcap))
        );
        measured = dcap.verify(assemble(specOf(4, 0))).measurement;
    }

    // ---- the truth ------------------------------------------------------------------------------------------------

    function test_AnApprovedEnclaveIsRegisteredByItsOperatorAlone() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        vm.expectEmit(address(enclaves));
        emit IEnclaveRegistry.EnclaveRegistered(
            it.key, operatorAt(0), 2, measured, RUNTIME, keccak256(quote), it.expiresAt
        );
        vm.prank(operatorAt(0));
        enclaves.registerDirect(it, quote);
        vm.snapshotGasLastCall("Dcap", "registerDirect, a TDX quote");
        (address operator, bool isSimulated) = enclaves.requireValid(it.key);
        vm.assertEq(operator, operatorAt(0));
        vm.assertEq(isSimulated, false);
        IEnclaveRegistry.Key memory known = enclaves.keyOf(it.key);
        vm.assertEq(enclaves.isDirect(it.key), true);
        vm.assertEq(known.measurement, measured);
        vm.assertEq(known.quoteDigest, keccak256(quote));
        // Another operator's enclave of the same measurement needs nobody either.
        it = begun(1);
        quote = quoteFor(1, it);
        vm.prank(operatorAt(1));
        enclaves.registerDirect(it, quote);
        enclaves.requireValid(it.key);
    }

    function test_AnSgxEnclaveIsRegisteredToo() public {
        measured = dcap.verify(assemble(specOf(3, 0))).measurement;
        bytes memory signed = signedBy(enclaves.computeDecisionDigest(1, measured, RUNTIME, true), 1, QUORUM_SIZE);
        enclaves.decideMeasurement(1, measured, RUNTIME, true, signed);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = assemble(specOf(3, bindingOf(0, it)));
        vm.prank(operatorAt(0));
        enclaves.registerDirect(it, quote);
        vm.snapshotGasLastCall("Dcap", "registerDirect, an SGX quote");
        vm.assertEq(uint256(enclaves.keyOf(it.key).platform), 1);
    }

    // ---- what was approved ----------------------------------------------------------------------------------------

    function test_WithoutAnApprovalNothingIsRegistered() public {
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        refuse(0, it, quote, notApproved());
    }

    /// @dev Neither for another runtime, nor for another platform.
    function test_AnApprovalIsOfOneMeasurementWithOneRuntime() public {
        bytes32 runtime = keccak256("another runtime");
        approve(2, measured, runtime);
        approve(1, measured, RUNTIME);
        approve(2, keccak256("another"), RUNTIME);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        refuse(0, it, quoteFor(0, it), notApproved());
    }

    function test_AWithdrawnApprovalTakesItsKeysWithIt() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        vm.prank(operatorAt(0));
        enclaves.registerDirect(it, quote);
        IEnclaveRegistry.Attestation memory vouched = attest(1, TDX);
        vouched.measurement = measured;
        register(vouched, signedBy(enclaves.computeAttestationDigest(vouched), 2, QUORUM_SIZE));

        decide(false);
        vm.expectRevert(notApproved());
        enclaves.requireValid(it.key);
        enclaves.requireValid(vouched.key); // a quorum saw its quote
        it = begun(0);
        refuse(0, it, quoteFor(0, it), notApproved());
        decide(true);
        enclaves.requireValid(it.key);
    }

    function test_ADecisionIsMadeOnce() public {
        bytes memory approval = signedBy(decisionDigest(true), 1, QUORUM_SIZE);
        enclaves.decideMeasurement(2, measured, RUNTIME, true, approval);
        vm.assertEq(enclaves.approvalOf(2, measured, RUNTIME).isApproved, true);
        vm.assertEq(uint256(enclaves.approvalOf(2, measured, RUNTIME).decisions), 1);
        decide(false);
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        enclaves.decideMeasurement(2, measured, RUNTIME, true, approval);
        vm.assertEq(enclaves.approvalOf(2, measured, RUNTIME).isApproved, false);
    }

    function test_ADecisionIsAQuorums() public {
        bytes memory few = signedBy(decisionDigest(true), 1, QUORUM_SIZE - 1);
        vm.expectPartialRevert(QuorumVerifier.QuorumNotMet.selector);
        enclaves.decideMeasurement(2, measured, RUNTIME, true, few);
        bytes memory signed = signedBy(decisionDigest(true), 1, QUORUM_SIZE);
        for (uint256 field; field < 4; ++field) {
            vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
            enclaves.decideMeasurement(
                field == 0 ? 1 : 2,
                field == 1 ? keccak256("another") : measured,
                field == 2 ? keccak256("another") : RUNTIME,
                field != 3,
                signed
            );
        }
        vm.chainId(4242);
        vm.expectPartialRevert(QuorumVerifier.WrongSigner.selector);
        enclaves.decideMeasurement(2, measured, RUNTIME, true, signed);
    }

    // ---- made for this registration -------------------------------------------------------------------------------

    function test_AQuoteForSomethingElseIsRefused() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes32 right = bindingOf(0, it);
        bytes32[6] memory wrong = [
            enclaves.computeReportData(operatorAt(1), it.key, RUNTIME, it.nonce),
            enclaves.computeReportData(operatorAt(0), enclaveKey(5), RUNTIME, it.nonce),
            enclaves.computeReportData(operatorAt(0), it.key, keccak256("another"), it.nonce),
            enclaves.computeReportData(operatorAt(0), it.key, RUNTIME, keccak256("another")),
            onAnotherChain(it),
            onAnotherRegistry(it)
        ];
        for (uint256 i; i < wrong.length; ++i) {
            vm.assertTrue(wrong[i] != right, "not another");
            refuse(0, it, assemble(specOf(4, wrong[i])), mismatch(right, wrong[i], 0));
        }
        Spec memory tail = specOf(4, right);
        tail.body[552] = 0x01;
        refuse(0, it, assemble(tail), mismatch(right, right, bytes32(uint256(1) << 248)));
        tail.body[552] = 0x00;
        tail.body[583] = 0x01;
        refuse(0, it, assemble(tail), mismatch(right, right, bytes32(uint256(1))));
    }

    /// @dev The same quote again, or its twin with the other s: the nonce is gone.
    function test_AQuoteRegistersOnce() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        vm.prank(operatorAt(0));
        enclaves.registerDirect(it, quote);
        bytes memory gone = abi.encodeWithSelector(IEnclaveRegistry.NonceUnknown.selector, operatorAt(0), it.nonce);
        refuse(0, it, quote, gone);
        begin(0);
        refuse(0, it, quote, gone);
        (bytes32 nonce,) = enclaves.nonceOf(operatorAt(0));
        it.nonce = nonce;
        bytes32 expected = bindingOf(0, it);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(IEnclaveRegistry.ReportDataMismatch.selector);
        enclaves.registerDirect(it, quote);
        vm.assertTrue(expected != 0, "no binding");
    }

    function test_ANonceGetsOld() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        vm.warp(block.timestamp + 1 days + 1);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(IEnclaveRegistry.NonceOld.selector);
        enclaves.registerDirect(it, quote);
    }

    // ---- who, and until when --------------------------------------------------------------------------------------

    function test_OnlyActiveOperatorsRegister() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        quit(0);
        refuse(0, it, quote, abi.encodeWithSelector(IEnclaveRegistry.OperatorNotActive.selector, operatorAt(0)));
    }

    function test_AKeyIsOneOperatorsForEver() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        bytes memory quote = quoteFor(0, it);
        vm.prank(operatorAt(0));
        enclaves.registerDirect(it, quote);
        IEnclaveRegistry.DirectRegistration memory thief = begun(1);
        thief.key = it.key;
        refuse(
            1,
            thief,
            quoteFor(1, thief),
            abi.encodeWithSelector(IEnclaveRegistry.KeyTaken.selector, it.key, operatorAt(0))
        );
        vm.prank(operatorAt(0));
        enclaves.revoke(it.key, 0);
        it = begun(0);
        refuse(0, it, quoteFor(0, it), abi.encodeWithSelector(IEnclaveRegistry.KeyRevoked.selector, it.key));
    }

    function test_AKeyLastsNoLongerThanItsCollateral() public {
        decide(true);
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        uint64 end = 1_802_588_400;
        uint64[3] memory wrong = [uint64(NOW), end + 1, type(uint64).max];
        for (uint256 i; i < 3; ++i) {
            it.expiresAt = wrong[i];
            refuse(
                0,
                it,
                quoteFor(0, it),
                abi.encodeWithSelector(IEnclaveRegistry.ExpiryOutOfRange.selector, uint64(NOW) + 1, end, wrong[i])
            );
        }
        it.expiresAt = end;
        bytes memory quote = quoteFor(0, it);
        vm.prank(operatorAt(0));
        enclaves.registerDirect(it, quote);
    }

    function test_ARegistryWithoutAVerifierSaysSo() public {
        EnclaveRegistry older =
            new EnclaveRegistry(enclaves.OPERATORS(), quorum, QUORUM_SIZE, IDcapVerifier(address(0)));
        IEnclaveRegistry.DirectRegistration memory it = begun(0);
        vm.prank(operatorAt(0));
        vm.expectRevert(IEnclaveRegistry.NoDcapVerifier.selector);
        older.registerDirect(it, "");
        vm.expectRevert(IEnclaveRegistry.NoDcapVerifier.selector);
        older.decideMeasurement(2, measured, RUNTIME, true, "");
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    function begun(uint256 i) private returns (IEnclaveRegistry.DirectRegistration memory) {
        return
            IEnclaveRegistry.DirectRegistration(enclaveKey(i), RUNTIME, uint64(block.timestamp) + LIFETIME, begin(i));
    }

    function bindingOf(uint256 i, IEnclaveRegistry.DirectRegistration memory it) private view returns (bytes32) {
        return enclaves.computeReportData(operatorAt(i), it.key, it.runtimeDigest, it.nonce);
    }

    function quoteFor(uint256 i, IEnclaveRegistry.DirectRegistration memory it) private view returns (bytes memory) {
        return assemble(specOf(4, bindingOf(i, it)));
    }

    function onAnotherChain(IEnclaveRegistry.DirectRegistration memory it) private returns (bytes32 binding) {
        vm.chainId(4242);
        binding = bindingOf(0, it);
        vm.chainId(31_337); // not block.chainid of before: the compiler reads it only here
    }

    function onAnotherRegistry(IEnclaveRegistry.DirectRegistration memory it) private returns (bytes32) {
        EnclaveRegistry other = new EnclaveRegistry(enclaves.OPERATORS(), quorum, QUORUM_SIZE, dcap);
        return other.computeReportData(operatorAt(0), it.key, RUNTIME, it.nonce);
    }

    function decisionDigest(bool isApproved) private view returns (bytes32) {
        return enclaves.computeDecisionDigest(2, measured, RUNTIME, isApproved);
    }

    function decide(bool isApproved) private {
        bytes memory signed = signedBy(decisionDigest(isApproved), 1, QUORUM_SIZE);
        enclaves.decideMeasurement(2, measured, RUNTIME, isApproved, signed);
    }

    function approve(uint8 platform, bytes32 measurement, bytes32 runtime) private {
        bytes32 digest = enclaves.computeDecisionDigest(platform, measurement, runtime, true);
        enclaves.decideMeasurement(platform, measurement, runtime, true, signedBy(digest, 1, QUORUM_SIZE));
    }

    function notApproved() private view returns (bytes memory) {
        return abi.encodeWithSelector(IEnclaveRegistry.MeasurementNotApproved.selector, uint8(2), measured, RUNTIME);
    }

    function mismatch(bytes32 expected, bytes32 head, bytes32 tail) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IEnclaveRegistry.ReportDataMismatch.selector, expected, head, tail);
    }

    function refuse(uint256 i, IEnclaveRegistry.DirectRegistration memory it, bytes memory quote, bytes memory why)
        private
    {
        vm.prank(operatorAt(i));
        vm.expectRevert(why);
        enclaves.registerDirect(it, quote);
    }
}
