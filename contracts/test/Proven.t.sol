// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Coprocessor} from "../src/Coprocessor.sol";
import {IVerifier} from "../src/interfaces/IVerifier.sol";
import {Claim, Evidence, Request, ResultCode, Status} from "../src/libraries/Types.sol";
import {ProofVerifier} from "../src/verifiers/ProofVerifier.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title What the other tests do with a double, once with the proof verifier that ships and proofs that Python made
/// @notice tests/vectors/make_proven.py made them, for two requests of one Coprocessor, in the name of one prover.
/// forge-config: default.isolate = true
contract ProvenTest is Deployment {
    ProofVerifier private verifier;
    string private json;
    bytes private input;
    bytes private output;
    bytes private lie;
    address private requester;
    address private prover;

    function setUp() public override {
        json = vm.readFile("tests/vectors/proven.json");
        super.setUp();
        input = vm.parseJsonBytes(json, ".input");
        output = vm.parseJsonBytes(json, ".output");
        lie = bytes.concat(output);
        lie[1] ^= 0x01;
        requester = vm.parseJsonAddress(json, ".requester");
        prover = vm.parseJsonAddress(json, ".prover");
        bytes32[] memory parts = new bytes32[](1);
        parts[0] = models.storeParameters(vm.parseJsonBytes(json, ".parts[0]"));
        bytes memory circuit = vm.parseJsonBytes(json, ".circuit");
        modelId = models.register(1, vm.parseJsonBytes32(json, ".manifestDigest"), circuit, parts, "");
        vm.assertEq(modelId, vm.parseJsonBytes32(json, ".modelId"));
        verifier.prepare(modelId);
        vm.deal(requester, 1 ether);
        // Balances that were paid before are the usual case: their slots are not zero.
        coprocessor.depositFor{value: 1}(prover);
    }

    function deployProofVerifier() internal override returns (IVerifier) {
        verifier = ProofVerifier(deployShipped("ProofVerifier", abi.encode(models, 12, "")));
        return verifier;
    }

    /// @dev Its domain is where the proofs' requests were made.
    function place(Coprocessor created) internal override returns (Coprocessor placed) {
        placed = Coprocessor(vm.parseJsonAddress(json, ".coprocessor"));
        vm.etch(address(placed), address(created).code);
    }

    function test_ATrueProofIsDeliveredAndNothingElseIs() public {
        Request memory asked = askFor("proof");
        Evidence[] memory evidence = new Evidence[](1);
        evidence[0] = evidenceFor("proof");
        expectRefused(asked, input, lie, evidence);
        expectRefused(asked, input, bytes.concat(output, hex"0000"), evidence);
        expectRefused(asked, "", output, evidence);
        expectRefused(asked, bytes.concat(input, hex"0000"), output, evidence);
        evidence[0].data[19] ^= 0x01; // another prover
        expectRefused(asked, input, output, evidence);
        evidence[0].data[19] ^= 0x01;
        evidence[0].data[evidence[0].data.length - 1] ^= 0x01;
        expectRefused(asked, input, output, evidence);
        evidence[0] = evidenceFor("challenge"); // another request
        expectRefused(asked, input, output, evidence);
        evidence[0] = evidenceFor("proof");
        vm.assertTrue(coprocessor.deliver(asked, input, output, evidence) == ResultCode.DELIVERED, "code");
        vm.snapshotGasLastCall("Proven", "deliver a proof of digits-mlp, input of 128 bytes");
        vm.assertEq(coprocessor.balanceOf(prover), 1 + asked.feeWei);
    }

    function test_ALyingQuorumIsOverruledAndSlashedByOneProof() public {
        askFor("proof"); // so that the next is the second
        Request memory asked = askFor("challenge");
        bytes memory signatures = quorumData(asked, lie, 0, 2);
        coprocessor.deliver(asked, "", lie, asEvidence(signatures));
        Evidence memory evidence = evidenceFor("challenge");
        coprocessor.challenge(asked, input, output, evidence);
        vm.snapshotGasLastCall("Proven", "challenge of digits-mlp");
        (Status status,, bytes32 digest,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertTrue(status == Status.FINAL && digest == keccak256(output), "replaced");
        vm.assertEq(coprocessor.balanceOf(prover), 1 + asked.feeWei);

        bytes[] memory signed = new bytes[](2);
        for (uint256 i; i < signed.length; ++i) {
            signed[i] = signDigest(keyOf(i), claimDigestOf(asked, lie));
        }
        Claim memory claim = claimOf(asked, lie);
        vm.assertEq(frauds.proveWrong(claim, signed, input, output, evidence), 2);
        vm.snapshotGasLastCall("Proven", "proveWrong of digits-mlp, signers: 2");
        vm.assertEq(operators.stakeOf(operatorAt(0)) + operators.stakeOf(operatorAt(1)), 0);
        vm.assertEq(operators.owedTo(prover), 1 ether);
    }

    /// @dev Who signed the truth cannot be slashed with any of it.
    function test_NothingOfThisSlashesAnHonestOperator() public {
        askFor("proof");
        Request memory asked = askFor("challenge");
        bytes[] memory signed = new bytes[](1);
        signed[0] = signDigest(keyOf(0), claimDigestOf(asked, output));
        Claim memory claim = claimOf(asked, output);
        Evidence memory evidence = evidenceFor("challenge");
        bytes[3] memory others = [lie, bytes.concat(output, hex"0000"), bytes("")];
        for (uint256 i; i < others.length; ++i) {
            vm.expectRevert();
            frauds.proveWrong(claim, signed, input, others[i], evidence);
        }
        vm.assertEq(operators.stakeOf(operatorAt(0)), MIN_STAKE_WEI);
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function askFor(string memory name) private returns (Request memory asked) {
        string memory row = string.concat(".evidence.", name);
        asked = Request({
            requester: requester,
            refundTo: requester,
            modelId: modelId,
            inputDigest: keccak256(input),
            policy: vm.parseJsonBytes32(json, string.concat(row, ".policy")),
            feeWei: vm.parseJsonUint(json, ".feeWei"),
            callbackGas: 0,
            deadline: uint64(vm.parseJsonUint(json, ".deadline")),
            nonce: coprocessor.nextNonce()
        });
        vm.prank(requester);
        bytes32 id =
            coprocessor.request{value: asked.feeWei}(modelId, input, asked.policy, 0, asked.deadline, requester);
        vm.assertEq(id, vm.parseJsonBytes32(json, string.concat(row, ".requestId")));
    }

    function evidenceFor(string memory name) private view returns (Evidence memory) {
        return Evidence(PROOF, vm.parseJsonBytes(json, string.concat(".evidence.", name, ".data")));
    }

    function expectRefused(Request memory asked, bytes memory input_, bytes memory output_, Evidence[] memory evidence)
        private
    {
        vm.expectRevert();
        coprocessor.deliver(asked, input_, output_, evidence);
    }
}
